import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { layerBytes } from './blob-reader.ts';
import type { ExpandJob, Outcome } from './job.ts';
import { Refusal } from './refusal.ts';

class TooLarge extends Error {}

/** Decompresses a file, whatever it is packed by. */
export async function expand({ from, to, maxBytes }: ExpandJob): Promise<Outcome> {
  let bytes = 0;
  const count = (more: number): void => {
    bytes += more;
    if (bytes > maxBytes) throw new TooLarge();
  };
  try {
    const { size } = await stat(from);
    const blob = { path: from, offset: 0, size };
    await pipeline(layerBytes(blob, count, undefined), createWriteStream(to, { flags: 'wx', mode: 0o600 }));
    return { is: 'done', bytes, inodes: 1 };
  } catch (error) {
    if (error instanceof TooLarge) return { is: 'beyond', what: 'bytes' };
    if (error instanceof Refusal) return { is: 'refused', kind: error.kind, why: error.message };
    if (error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT'))
      return { is: 'refused', kind: 'full', why: `what it unpacks to does not fit (${error.message})` };
    throw error;
  }
}
