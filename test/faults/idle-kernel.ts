import type { TarEntry } from '../support/tar.ts';

/** Where the program lies in the guest's memory: above what the firmware uses. */
const ADDRESS = 0x100_000;
const HEADER = 64;
const PROGRAM_HEADER = 56;
const CODE = 0x1000;

/** `pvh`: entered in 32-bit mode, as its note says; `linux`: taken for a Linux without one, and entered in 64-bit mode. */
export type IdleKind = 'pvh' | 'linux';

/**
 * A kernel that halts, for good: a guest of it is there and runs, costs no
 * processor time and says nothing. An ELF file of 4 KiB.
 * @see https://xenbits.xen.org/docs/unstable/misc/pvh.html, elf(5)
 */
export function idleKernel(kind: IdleKind = 'pvh'): Buffer {
  // cli; again: hlt; jmp again: the same in either mode
  const halt = Buffer.from([0xfa, 0xf4, 0xeb, 0xfd]);
  // RSD PTR: with ACPI, as the lab's machine has it.
  const code = kind === 'pvh' ? halt : Buffer.concat([halt, Buffer.from('Linux version 0 (idle) RSD PTR ')]);
  const note = Buffer.alloc(20);
  note.writeUInt32LE(4, 0); // the length of the name
  note.writeUInt32LE(4, 4); // of what follows it
  note.writeUInt32LE(18, 8); // XEN_ELFNOTE_PHYS32_ENTRY
  note.write('Xen\0', 12, 'latin1');
  note.writeUInt32LE(ADDRESS, 16);
  const noteAt = HEADER + 2 * PROGRAM_HEADER;

  const file = Buffer.alloc(CODE + code.length);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // 64 bits, little-endian, version 1
  file.writeUInt16LE(2, 16); // a program
  file.writeUInt16LE(62, 18); // for x86-64
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(ADDRESS), 24);
  file.writeBigUInt64LE(BigInt(HEADER), 32);
  file.writeUInt16LE(HEADER, 52);
  file.writeUInt16LE(PROGRAM_HEADER, 54);
  file.writeUInt16LE(2, 56);
  segment(file, 0, { type: 1, at: CODE, address: ADDRESS, bytes: code.length });
  segment(file, 1, { type: kind === 'pvh' ? 4 : 0, at: noteAt, address: 0, bytes: note.length });
  file.set(note, noteAt);
  file.set(code, CODE);
  return file;
}

interface Segment {
  /** 0: is passed over; 1: is loaded; 4: notes. */
  readonly type: 0 | 1 | 4;
  readonly at: number;
  readonly address: number;
  readonly bytes: number;
}

function segment(file: Buffer, index: number, { type, at, address, bytes }: Segment): void {
  const begin = HEADER + index * PROGRAM_HEADER;
  file.writeUInt32LE(type, begin);
  file.writeUInt32LE(7, begin + 4);
  for (const [offset, value] of [
    [8, at],
    [16, address],
    [24, address],
    [32, bytes],
    [40, bytes],
    [48, type === 1 ? 0x1000 : 4],
  ] as const)
    file.writeBigUInt64LE(BigInt(value), begin + offset);
}

/** The one layer of an image that is kernel and root of a guest which does nothing. */
export const idleLayer = (kind: IdleKind = 'pvh'): readonly TarEntry[] => [
  { name: 'vmlinux', data: idleKernel(kind) },
  { name: 'etc', type: 'directory', mode: 0o755 },
  { name: 'etc/hostname', data: 'idle\n' },
];
