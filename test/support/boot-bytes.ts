import { gzipSync } from 'node:zlib';

/** Bytes of kernels and initrds that are nothing but what one looks at: none of them boots. */

export interface ElfOptions {
  /** Default: one of 8 KiB at 16 MiB. */
  readonly segments?: readonly {
    readonly address: number | bigint;
    readonly memoryBytes?: number;
    readonly data?: string;
    readonly offset?: number | bigint;
    readonly fileBytes?: number | bigint;
  }[];
  readonly entry?: number | bigint;
  /** Where the PVH note leads; absent: there is no note. */
  readonly pvh?: number;
  readonly machine?: number;
  readonly bits?: 32 | 64;
  readonly type?: number;
  readonly interpreter?: boolean;
}

const LINUX = 'Linux version 6.1.0-fc (me@here) #1 SMP';

/** An ELF file for x86-64, like a vmlinux. */
export function elf(options: ElfOptions = {}): Buffer {
  const {
    segments = [{ address: 0x100_0000, data: LINUX }],
    entry = 0x100_0000,
    pvh,
    machine = 62,
    bits = 64,
  } = options;
  const lines: Buffer[] = [];
  const data: Buffer[] = [];
  const count = segments.length + (pvh === undefined ? 0 : 1) + (options.interpreter ? 1 : 0);
  let at = 64 + 56 * count;
  const line = (type: number, offset: bigint, address: bigint, fileBytes: bigint, memoryBytes: bigint): void => {
    const one = Buffer.alloc(56);
    one.writeUInt32LE(type, 0);
    one.writeUInt32LE(5, 4);
    [offset, address, address, fileBytes, memoryBytes, 4n].forEach((value, i) => {
      one.writeBigUInt64LE(value, 8 + 8 * i);
    });
    lines.push(one);
  };
  if (options.interpreter) line(3, 0n, 0n, 0n, 0n);
  if (pvh !== undefined) {
    const note = Buffer.alloc(20);
    [4, 4, 18].forEach((value, i) => {
      note.writeUInt32LE(value, 4 * i);
    });
    note.write('Xen\0', 12);
    note.writeUInt32LE(pvh, 16);
    line(4, BigInt(at), 0n, BigInt(note.length), BigInt(note.length));
    data.push(note);
    at += note.length;
  }
  for (const { address, data: text = '', memoryBytes = 0x2000, offset = at, fileBytes } of segments) {
    const bytes = Buffer.from(text, 'latin1');
    line(1, BigInt(offset), BigInt(address), BigInt(fileBytes ?? bytes.length), BigInt(memoryBytes));
    data.push(bytes);
    at += bytes.length;
  }
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
  header.writeUInt16LE(options.type ?? 2, 16);
  header.writeUInt16LE(machine, 18);
  header.writeBigUInt64LE(BigInt(entry), 24);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(count, 56);
  return Buffer.concat([header, ...lines, ...data]);
}

export const pvhElf = (words = LINUX): Buffer =>
  elf({ pvh: 0x100_0000, segments: [{ address: 0x100_0000, data: words }] });
/** As Firecracker's are. */
export const bareElf = (words = LINUX): Buffer => elf({ segments: [{ address: 0x100_0000, data: words }] });

export interface BzImageOptions {
  readonly release?: string;
  readonly protocol?: number;
  /** xloadflags. */
  readonly flags?: number;
  /** What is packed in it, packed; default: a Linux, by gzip. */
  readonly payload?: Uint8Array;
  readonly cutTo?: number;
}

/** A bzImage with one sector of setup. */
export function bzImage(options: BzImageOptions = {}): Buffer {
  const { release = '6.1.0', protocol = 0x20f, flags = 1 } = options;
  const payload = options.payload ?? gzipSync(bareElf(`Linux version ${release} (me@here) #1 SMP`));
  const code = Buffer.concat([payload, Buffer.alloc(16 - (payload.length % 16))]);
  const setup = Buffer.alloc(1024);
  setup[0x1f1] = 1;
  setup.writeUInt32LE(code.length / 16, 0x1f4);
  setup.writeUInt16LE(0xaa55, 0x1fe);
  setup.write('HdrS', 0x202);
  setup.writeUInt16LE(protocol, 0x206);
  setup.writeUInt16LE(flags, 0x236);
  setup.writeUInt32LE(0, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  if (release !== '') {
    setup.writeUInt16LE(0x300 - 0x200, 0x20e);
    setup.write(`${release} (me@here) #1\0`, 0x300);
  }
  return Buffer.concat([setup, code]).subarray(0, options.cutTo);
}

/** An archive with one file. */
export function newc(name = 'init', data = '#!/bin/sh\n'): Buffer {
  const entry = (of: string, bytes: string): Buffer => {
    const fields = [1, 0o100_755, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, of.length + 1, 0];
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${of}\0`;
    return Buffer.concat([padded(Buffer.from(head)), padded(Buffer.from(bytes))]);
  };
  return Buffer.concat([entry(name, data), entry('TRAILER!!!', '')]);
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);

/** An EFI program with sections of these names. */
export function efi(sections: readonly string[] = ['.text'], machine = 0x8664): Buffer {
  const program = Buffer.alloc(0x40 + 24 + 40 * sections.length);
  program.write('MZ');
  program.writeUInt32LE(0x40, 0x3c);
  program.write('PE\0\0', 0x40);
  program.writeUInt16LE(machine, 0x44);
  program.writeUInt16LE(sections.length, 0x46);
  sections.forEach((name, i) => {
    program.write(name, 0x58 + 40 * i);
  });
  return program;
}

/** Nothing but zeros and a mark. */
export function marked(mark: string | readonly number[], at: number): Buffer {
  const bytes = Buffer.alloc(2048);
  bytes.set(typeof mark === 'string' ? Buffer.from(mark, 'latin1') : mark, at);
  return bytes;
}

/** A vmlinux without its PVH note, and with these words struck out: as if it had been compiled without what they stand for. */
export function strike(vmlinux: Uint8Array, words: readonly string[] = []): Buffer {
  const bytes = Buffer.from(vmlinux);
  const table = Number(bytes.readBigUInt64LE(32));
  for (let i = 0; i < bytes.readUInt16LE(56); i++)
    if (bytes.readUInt32LE(table + 56 * i) === 4) bytes.writeUInt32LE(0, table + 56 * i);
  for (const word of words)
    for (let at = bytes.indexOf(word, 0, 'latin1'); at >= 0; at = bytes.indexOf(word, at + 1, 'latin1'))
      bytes.fill('?', at, at + word.length);
  return bytes;
}
