import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { Digester } from './digest.ts';
import type { Blob } from './job.ts';
import { MAGIC_BYTES, packingOf, unpacked } from './layer-packing.ts';
import { invalid } from './refusal.ts';

const CHUNK_BYTES = 1 << 20;

/** The bytes of a blob. @throws Refusal at their end when they are not what its digest says */
async function* bytesOf({ path, offset, size, digest }: Blob): AsyncGenerator<Buffer> {
  const part = digest === undefined ? `a layer` : `its part ${digest}`;
  // Not through a symlink, and not waiting for a FIFO's other end.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error) => {
    throw invalid(`${part} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  });
  try {
    const info = await file.stat();
    if (!info.isFile()) throw invalid(`${part} is no regular file`);
    if (info.size < offset + size)
      throw invalid(`${part} is of ${Math.max(0, info.size - offset)} bytes, and said to be of ${size}`);
    const hash = digest === undefined ? undefined : new Digester(digest);
    for (let done = 0; done < size; ) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - done));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset + done);
      if (bytesRead === 0) throw invalid(`${part} is cut off`);
      const chunk = buffer.subarray(0, bytesRead);
      hash?.update(chunk);
      done += bytesRead;
      yield chunk;
    }
    if (hash?.digest() !== digest)
      throw invalid(`a part of it is not what its digest says: it is corrupt, or has changed (${digest})`);
  } finally {
    await file.close();
  }
}

/** The bytes of an artifact's file, as they are. */
export const rawBytes = (blob: Blob): AsyncIterable<Buffer> => bytesOf(blob);

/**
 * What a layer unpacks to, whatever it is packed by.
 * @param count - called with bytes as they come, before anybody gets them
 * @param diffId - what all of it must hash to, looked at when all has been read; absent: no look
 */
export async function* layerBytes(
  blob: Blob,
  count: (bytes: number) => void,
  diffId: string | undefined,
): AsyncGenerator<Buffer> {
  const source = bytesOf(blob);
  const head = await peek(source);
  const hash = diffId === undefined ? undefined : new Digester(diffId);
  for await (const chunk of unpacked(head.all, packingOf(head.bytes))) {
    count(chunk.length);
    hash?.update(chunk);
    yield chunk;
  }
  const found = hash?.digest();
  if (found !== undefined && found !== diffId)
    throw invalid(
      `its layer ${blob.digest ?? ''} unpacks to ${found}, and its configuration has ${diffId} in that place: one of them is not of this image`,
    );
}

async function peek(source: AsyncGenerator<Buffer>): Promise<{ bytes: Buffer; all: AsyncIterable<Buffer> }> {
  const first = await source.next();
  const bytes = first.done ? Buffer.alloc(0) : first.value;
  async function* all(): AsyncGenerator<Buffer> {
    if (!first.done) yield bytes;
    yield* source;
  }
  return { bytes: bytes.subarray(0, MAGIC_BYTES), all: all() };
}
