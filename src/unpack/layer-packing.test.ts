import { buffer } from 'node:stream/consumers';
import { constants, createZstdCompress, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { unpacked } from './layer-packing.ts';

async function* once(bytes: Buffer): AsyncIterable<Buffer> {
  yield bytes;
}

async function all(bytes: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of unpacked(once(bytes), 'zstd')) pieces.push(piece);
  return Buffer.concat(pieces);
}

const text = Buffer.from('a layer\n'.repeat(1_000));
/** As a stream, whose length is not known before its end: its window is the one that is asked for. */
async function packedWith(windowLog: number): Promise<Buffer> {
  const packer = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: windowLog } });
  packer.write(text);
  const { promise, resolve } = Promise.withResolvers<void>();
  packer.flush(() => resolve());
  await promise;
  packer.end();
  return buffer(packer);
}

test('a window of 128 MiB is the largest that zstd takes unasked, and a larger one is told as what it is', async () => {
  expect(await all(await packedWith(27))).toEqual(text);
  await expect(all(await packedWith(28))).rejects.toThrow(/its zstd window is over 128 MiB.*--long=27/);
});

test('what is cut off is told as that', async () => {
  const packed = zstdCompressSync(text);
  await expect(all(packed.subarray(0, packed.length - 20))).rejects.toThrow(/damaged or cut off/);
});
