import { gzipSync, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { bzImage } from '../test/support/bz-image.ts';
import { packingOf } from './unpack.ts';
import { extractVmlinux } from './vmlinux.ts';

const ELF = Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(5_000, 'kernel')]);

test('a kernel packed by gzip, zstd or not at all', () => {
  expect(Buffer.from(extractVmlinux(bzImage(gzipSync(ELF))))).toEqual(ELF);
  expect(Buffer.from(extractVmlinux(bzImage(zstdCompressSync(ELF), ELF.length)))).toEqual(ELF);
  expect(Buffer.from(extractVmlinux(bzImage(ELF, ELF.length)))).toEqual(ELF);
});

test.each([
  ['no bzImage', Buffer.alloc(10_000), 'no HdrS'],
  ['too short for a header', Buffer.alloc(100), 'no HdrS'],
  ['cut off', bzImage(gzipSync(ELF)).subarray(0, -10), 'cut off'],
  [
    'shorter than it says',
    bzImage(zstdCompressSync(ELF), ELF.length + 1),
    `unpacks to ${ELF.length} bytes, its header says ${ELF.length + 1}`,
  ],
  ['longer than it says', bzImage(zstdCompressSync(ELF), ELF.length - 1), 'Cannot unpack zstd'],
  ['absurdly long', bzImage(zstdCompressSync(ELF), 600 << 20), 'claims to be'],
  ['no ELF file', bzImage(gzipSync(Buffer.from('no kernel at all'))), 'no ELF file'],
  ['broken', bzImage(zstdCompressSync(ELF).fill(0, 8), ELF.length), 'Cannot unpack zstd'],
])('%s is refused', (_, image, words) => {
  expect(() => extractVmlinux(image)).toThrow(words);
});

test('a packing is told by its first bytes', () => {
  const kinds = {
    gzip: '1f8b080000000000000000000000',
    xz: 'fd377a585a000001692222360000',
    zstd: '28b52ffd24000000000000000000',
    lz4: '04224d18644070b90000000000000',
    lzma: '5d00008000ffffffffffffffff00',
    bzip2: '425a6839314159265359000000000',
    lzo: '894c5a4f000d0a1a0a1030209400',
    none: '7f454c46020101000000000000000',
  };
  for (const [kind, hex] of Object.entries(kinds)) expect(packingOf(Buffer.from(hex, 'hex'))).toBe(kind);
  expect(packingOf(Buffer.from('02214c18ffff0000', 'hex'))).toBe('lz4');
  expect(packingOf(Buffer.from('5d00000004d4a303000000000000', 'hex'))).toBe('lzma');
  expect(packingOf(Buffer.alloc(0))).toBe('none');
});
