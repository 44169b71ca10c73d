import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bareElf, bzImage, efi, elf, marked, newc, pvhElf } from '../../../test/support/boot-bytes.ts';
import { bytesIn } from './bytes.ts';
import { type Role, worthAs } from './roles.ts';
import { type FileKind, whatFile } from './what-file.ts';

const signal = new AbortController().signal;
const what = (bytes: Uint8Array): Promise<FileKind> => whatFile(bytesIn(bytes), signal);
const as = async (role: Role, bytes: Uint8Array): Promise<number | string> => {
  const worth = worthAs(role, await what(bytes));
  return 'rank' in worth ? worth.rank : [worth.wrong, worth.remedy].filter((text) => text).join('; ');
};

describe('a kernel', () => {
  test.each([
    ['vmlinux with a PVH note', pvhElf(), 0],
    ['bzImage', bzImage(), 1],
    ['bzImage of a Linux that did not say yet for which CPU', bzImage({ protocol: 0x209, flags: 0 }), 1],
    ['bzImage that begins as an EFI program, as all do now', Buffer.from(bzImage()).fill('MZ', 0, 2), 1],
    ['vmlinux without a PVH note', bareElf(), 2],
    ["kernel with an interpreter, as FreeBSD's has", elf({ interpreter: true, pvh: 0x100_0000 }), 0],
  ])('%s boots', async (_, bytes, rank) => expect(await as('kernel', bytes)).toBe(rank));

  test.each([
    ['nothing', Buffer.alloc(0), /^is empty$/],
    ['zeros', Buffer.alloc(4096), /nothing but zeros/],
    ['text', Buffer.from('this is no kernel\n'), /^is text$/],
    ['a script', Buffer.from('#!/bin/sh\n'), /script/],
    ['a page', Buffer.from('<!DOCTYPE html><html>'), /HTML/],
    ['what a store answers for a file that is not there', Buffer.from('<?xml version="1.0"?><Error>'), /XML/],
    ['a pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\n'), /Git LFS/],
    ['noise', Buffer.from([1, 200, 3, 255, 0]), /nothing of its beginning is known/],
    ['an ELF file for arm64', elf({ machine: 183 }), /for arm64, and this host is x86-64/],
    ['an ELF file for 32-bit x86', elf({ machine: 3, bits: 32 }), /32-bit x86/],
    ['an ELF file for x32', elf({ bits: 32 }), /32-bit ELF/],
    ['an ELF file for a CPU without a name', elf({ machine: 999 }), /CPU 999/],
    ['a module', elf({ type: 1 }), /module/],
    ['a program', elf({ interpreter: true }), /program, no kernel/],
    ['an ELF file that was cut off', pvhElf().subarray(0, 200), /cut off/],
    ['an ELF file that was cut off in its header', pvhElf().subarray(0, 40), /cut off in its header/],
    ['an ELF file without anything to load', elf({ segments: [] }), /without/],
    ['an ELF file whose entry is nowhere', elf({ entry: 0x9000_0000 }), /entry/],
    ['an ELF file whose PVH entry is nowhere', elf({ pvh: 0x7777_0000 }), /PVH entry point that lies in none/],
    ['an ELF file above 4 GiB', elf({ segments: [{ address: 2n ** 33n, data: 'x' }] }), /above 4 GiB/],
    [
      'an ELF file at the end of all addresses',
      elf({ segments: [{ address: 2n ** 64n - 1n, data: 'x' }] }),
      /above 4 GiB/,
    ],
    [
      'an ELF file whose segments overlap',
      elf({
        segments: [
          { address: 0x100_0000, data: 'x' },
          { address: 0x100_1000, data: 'y' },
        ],
      }),
      /overlap/,
    ],
    [
      'an ELF file with more in the file than in memory',
      elf({ segments: [{ address: 0x100_0000, data: 'xxxx', memoryBytes: 2 }] }),
      /larger in the file/,
    ],
    [
      'an ELF file whose segment lies behind all files',
      elf({ segments: [{ address: 0x100_0000, offset: 2n ** 63n, fileBytes: 4 }] }),
      /beyond all files/,
    ],
    ['a bzImage for 32-bit x86', bzImage({ flags: 0 }), /32-bit x86/],
    [
      'a bzImage that was cut off',
      bzImage({ cutTo: 1100 }),
      /cut off: it should have at least \d+ bytes, and has 1100/,
    ],
    ['a bzImage that was cut off in its header', bzImage({ cutTo: 0x240 }), /cut off in its header/],
    ['an arm64 kernel', marked('ARM\x64', 0x38), /for arm64/],
    ['an arm64 kernel with an EFI stub', marked('ARM\x64', 0x38).fill('MZ', 0, 2), /for arm64/],
    ['an arm64 kernel packed with gzip', gzipSync(marked('ARM\x64', 0x38)), /unpacked it is a Linux kernel for arm64/],
    ['a RISC-V kernel', marked('RSC\x05', 0x38), /RISC-V/],
    ['a 32-bit ARM kernel', marked([0x18, 0x28, 0x6f, 0x01], 0x24), /32-bit ARM/],
    ['a unified kernel image', efi(['.osrel', '.linux', '.initrd']), /unified kernel image.*--only-section=\.linux/],
    ['an EFI program', efi(), /EFI program for x86-64/],
    ['a zboot kernel', efi(['.text'], 0xaa64).fill('zimg', 4, 8), /arm64 that only EFI firmware unpacks/],
    ['a file for U-Boot', marked([0x27, 0x05, 0x19, 0x56], 0), /U-Boot/],
    ['a vmlinux packed with gzip', gzipSync(bareElf()), /kernel packed with gzip; unpack it with gunzip/],
    ['a vmlinux packed with zstd', zstdCompressSync(pvhElf()), /kernel packed with zstd; unpack it with unzstd/],
    ['a vmlinux packed with xz', marked([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], 0), /packed with xz; unpack it with unxz/],
    ['an initrd', newc(), /is an initrd, no kernel/],
    ['an initrd packed with gzip', gzipSync(newc()), /is an initrd, no kernel/],
    ['a disk', marked([0x53, 0xef], 0x438), /file system \(ext2/],
  ])('%s does not, and it is said why', async (_, bytes, why) => expect(await as('kernel', bytes)).toMatch(why));
});

describe('an initrd', () => {
  const xz = marked([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], 0);
  test.each([
    ['an archive', newc(), 0],
    ['an archive with zeros behind', Buffer.concat([newc(), Buffer.alloc(1000)]), 0],
    ['two archives, the first for microcode', Buffer.concat([newc('early_cpio'), newc()]), 0],
    [
      'microcode, filled up, and an archive packed with gzip',
      Buffer.concat([newc(), Buffer.alloc(512), gzipSync(newc())]),
      0,
    ],
    ['microcode and an archive packed with zstd', Buffer.concat([newc(), zstdCompressSync(newc())]), 0],
    ['microcode and an archive packed with xz', Buffer.concat([newc(), xz]), 0],
    ['one packed with gzip', gzipSync(newc()), 0],
    ['a large one packed with zstd', zstdCompressSync(newc('x', 'y'.repeat(1 << 20))), 0],
    ['one packed with xz', xz, 0],
    ['one packed with bzip2', marked('BZh9', 0), 0],
    ['one packed with lzma', marked([0x5d, 0, 0], 0), 0],
    ['one packed with lzo', marked([0x89, 0x4c, 0x5a, 0x4f, 0], 0), 0],
    ['one packed with lz4 -l', marked([0x02, 0x21, 0x4c, 0x18], 0), 0],
    ['a file system', marked('hsqs', 0), 1],
    ['a file system packed with gzip', gzipSync(marked([0x53, 0xef], 0x438)), 1],
  ])('%s serves', async (_, bytes, rank) => expect(await as('initrd', bytes)).toBe(rank));

  test.each([
    ['a kernel', bzImage(), /is a kernel, no initrd/],
    ['a vmlinux', pvhElf(), /ELF file, no initrd/],
    ['text', Buffer.from('hello\n'), /^is text$/],
    ['one packed with lz4 as lz4 does', marked([0x04, 0x22, 0x4d, 0x18], 0), /lz4 -l/],
    ['an archive that was cut off', newc('init', 'x'.repeat(5000)).subarray(0, 4000), /cut off/],
    ['an archive without a trailer', newc().subarray(0, 128), /cut off/],
    ['an archive with noise behind', Buffer.concat([newc(), Buffer.from('noise')]), /something else behind it/],
    ['an archive with a broken header', Buffer.from(newc()).fill('z', 54, 62), /broken at byte 0/],
    ['an old archive', Buffer.from('070707000000'), /newc/],
    ['an old binary archive packed with gzip', gzipSync(Buffer.from([0xc7, 0x71, 0, 0])), /newc/],
    ['text packed with gzip', gzipSync(Buffer.from('hello')), /neither a kernel nor a cpio archive/],
    ['what only begins as gzip', Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3]), /cannot be unpacked/],
  ])('%s does not, and it is said why', async (_, bytes, why) => expect(await as('initrd', bytes)).toMatch(why));
});

test('whatever the bytes are, it is said what they are', async () => {
  const begun = [pvhElf(), bareElf(), bzImage(), newc(), gzipSync(newc()), zstdCompressSync(newc()), efi(['.linux'])];
  const hostile = fc
    .tuple(
      fc.constantFrom(...begun),
      fc.array(fc.tuple(fc.nat(600), fc.nat(255)), { maxLength: 12 }),
      fc.option(fc.nat(1200), { nil: undefined }),
    )
    .map(([bytes, changes, cut]) => {
      const changed = Buffer.from(bytes);
      for (const [at, value] of changes) if (at < changed.length) changed[at] = value;
      return changed.subarray(0, cut);
    });
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), hostile), async (bytes) => {
      const kind = await what(bytes);
      for (const role of ['kernel', 'initrd'] as const) {
        const worth = worthAs(role, kind);
        expect('rank' in worth || worth.wrong.length > 5).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});
