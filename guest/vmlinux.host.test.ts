import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bzImage } from '../test/support/bz-image.ts';
import { packingOf } from './unpack.ts';
import { extractVmlinux } from './vmlinux.ts';

/** Machine code: what the filters for it work on. */
function machineCode(): Buffer {
  const bytes = Buffer.alloc(1_000_000);
  const file = openSync(process.execPath, 'r');
  try {
    readSync(file, bytes, 4, bytes.length - 4, 40_000_000);
  } finally {
    closeSync(file);
  }
  bytes.write('\x7fELF', 'latin1');
  return bytes;
}

/** As scripts/Makefile.lib of the kernel packs (cmd_xzkern by scripts/xz_wrap.sh), and one LZ4 frame. */
const PACKED: readonly (readonly [string, string, ...string[]])[] = [
  ['xz', 'xz', '--check=crc32', '--x86', '--lzma2=dict=32MiB', '-c'],
  ['xz', 'xz', '--check=crc32', '--lzma2=dict=1MiB', '-c'],
  ['lzma', 'xz', '--format=lzma', '-9', '-c'],
  ['bzip2', 'busybox', 'bzip2', '-c'],
  ['lzo', 'busybox', 'lzop', '-c'],
  ['lz4', 'lz4', '-l', '-9', '-c'],
  ['lz4', 'lz4', '-9', '-c'],
  ['lz4', 'lz4', '-9', '-BD', '-B4', '--content-size', '-c', '-'],
];

test.each(PACKED)('a kernel packed by %s: %s %s %s %s', (packing, program, ...args) => {
  const kernel = machineCode();
  const packed = execFileSync(program, args, { input: kernel, maxBuffer: 64 << 20 });
  expect(packingOf(packed)).toBe(packing);
  const unpacked = extractVmlinux(bzImage(packed, kernel.length));
  expect(Buffer.compare(unpacked, kernel)).toBe(0);
});
