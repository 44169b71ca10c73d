import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable as ReadableStream, Writable } from 'node:stream';
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { invalid, Refusal } from './refusal.ts';

export type Packing = 'gzip' | 'zstd' | 'bzip2' | 'xz' | 'none';

/** Bytes that tell all packings apart. */
export const MAGIC_BYTES = 6;

const CHUNK_BYTES = 256 << 10;

/** How bytes are packed, by the first of them: what is said of a layer is often not so. */
export function packingOf(head: Buffer): Packing {
  const begins = (...bytes: number[]): boolean => bytes.every((byte, i) => head[i] === byte);
  if (begins(0x1f, 0x8b, 0x08)) return 'gzip';
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  // A frame of zstd that is to be passed over; the others follow.
  if (((head[0] ?? 0) & 0xf0) === 0x50 && head.subarray(1, 4).equals(Buffer.from([0x2a, 0x4d, 0x18]))) return 'zstd';
  if (begins(0x42, 0x5a, 0x68)) return 'bzip2';
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz';
  return 'none';
}

/** What packed bytes unpack to. @throws Refusal, while it is read */
export function unpacked(source: AsyncIterable<Buffer>, packing: Packing): AsyncIterable<Buffer> {
  switch (packing) {
    case 'none':
      return source;
    case 'gzip':
      return explained(through(source, createGunzip({ chunkSize: CHUNK_BYTES })));
    case 'zstd':
      return explained(through(source, createZstdDecompress({ chunkSize: CHUNK_BYTES })));
    case 'bzip2':
    case 'xz':
      return byTool(source, packing);
  }
}

function through(source: AsyncIterable<Buffer>, engine: NodeJS.ReadWriteStream): AsyncIterable<Buffer> {
  const from = Readable.from(source, { objectMode: true });
  // An error of either end is thrown by the reading of the other.
  return pipeline(from, engine, () => undefined) as unknown as AsyncIterable<Buffer>;
}

/** @see https://github.com/facebook/zstd/blob/dev/lib/zstd.h ZSTD_WINDOWLOG_LIMIT_DEFAULT: 27, the decoder's limit as the tool's */
const WINDOW_TOO_LARGE = 'ZSTD_error_frameParameter_windowTooLarge';

async function* explained(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  try {
    yield* source;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || !/^(Z_|ZSTD_|ERR_ZLIB)/.test(String(error.code)))
      throw error;
    if (error.code === WINDOW_TOO_LARGE)
      throw invalid(
        'a layer cannot be decompressed: its zstd window is over 128 MiB, so much memory no layer gets; pack it without --long, or with --long=27 at most',
      );
    throw invalid(`a layer cannot be decompressed, it is damaged or cut off: ${error.message}`);
  }
}

/** Rare: nobody packs so today, and Docker takes it. */
async function* byTool(source: AsyncIterable<Buffer>, tool: 'bzip2' | 'xz'): AsyncIterable<Buffer> {
  const child: ChildProcessByStdio<Writable, ReadableStream, ReadableStream> = spawn(tool, ['-dc'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(0, 500);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  ended.catch(() => undefined);
  let broken: unknown;
  pipeline(Readable.from(source), child.stdin, (error) => {
    // A tool that ends early says why itself.
    if (error instanceof Refusal) broken = error;
  });
  try {
    yield* child.stdout as AsyncIterable<Buffer>;
    const code = await ended;
    if (broken) throw broken;
    if (code !== 0) throw invalid(`a layer cannot be decompressed by ${tool}: ${said.trim().split('\n')[0] ?? ''}`);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw new Refusal('tool', `a layer is packed by ${tool}, which is not installed: install ${PACKAGE[tool]}`);
    throw error;
  } finally {
    child.kill('SIGKILL');
  }
}

const PACKAGE = { bzip2: 'bzip2', xz: 'xz-utils' } as const;
