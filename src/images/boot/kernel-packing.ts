import { Readable, type Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { hasAt } from './bytes.ts';

/** How a file, or what is in one, is packed: Linux's own words for it. `lz4 frame` is what lz4(1) writes by itself, and Linux cannot read. */
export type Packing = 'gzip' | 'xz' | 'zstd' | 'lz4' | 'lz4 frame' | 'lzma' | 'bzip2' | 'lzo';

/** @see lib/decompress.c in Linux: `compressed_formats` */
const MAGICS: readonly (readonly [Packing, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['gzip', [0x1f, 0x9e]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f, 0x00]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['lz4 frame', [0x04, 0x22, 0x4d, 0x18]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['lzma', [0x5d, 0x00, 0x00]],
];

export const packingOf = (head: Uint8Array): Packing | undefined =>
  MAGICS.find(([, magic]) => hasAt(head, 0, magic))?.[0];

/** What unpacks a file of it, for people. */
export const UNPACKED_BY: Readonly<Record<Packing, string>> = {
  gzip: 'gunzip',
  xz: 'unxz',
  zstd: 'unzstd',
  lz4: 'unlz4',
  'lz4 frame': 'unlz4',
  lzma: 'unlzma',
  bzip2: 'bunzip2',
  lzo: 'lzop -d',
};

/** What unpacks it without a tool; undefined where there is nothing. */
export function unpacker(packing: Packing): Transform | undefined {
  switch (packing) {
    case 'gzip':
      return createGunzip();
    case 'zstd':
      return createZstdDecompress();
    default:
      return undefined;
  }
}

/**
 * The first bytes of what is packed, as far as the beginning of the packed bytes tells them.
 * @returns undefined where it needs a tool, or cannot be unpacked
 */
export async function beginningOf(
  packing: Packing,
  packed: Uint8Array,
  wanted: number,
): Promise<Uint8Array | undefined> {
  const unpack = unpacker(packing);
  if (!unpack) return undefined;
  const input = Readable.from([packed], { objectMode: false });
  const out: Buffer[] = [];
  let length = 0;
  // What is packed goes on behind the beginning: that it is cut off is no news.
  unpack.on('error', () => undefined);
  input.pipe(unpack);
  try {
    for await (const piece of unpack) {
      if (!Buffer.isBuffer(piece)) break;
      out.push(piece);
      length += piece.length;
      if (length >= wanted) break;
    }
  } catch {
    // So far it was right.
  } finally {
    input.destroy();
    unpack.destroy();
  }
  return length === 0 ? undefined : Buffer.concat(out).subarray(0, wanted);
}
