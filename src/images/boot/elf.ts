import { type Bytes, hasAt, viewOf } from './bytes.ts';

/** What an ELF file asks to be loaded. Addresses are those of the guest's memory. */
export interface Segment {
  /** In the file. */
  readonly offset: number;
  readonly fileBytes: number;
  /** Physical. */
  readonly address: number;
  readonly memoryBytes: number;
  readonly flags: number;
  readonly align: bigint;
  readonly virtual: bigint;
}

/** A 64-bit ELF file for x86-64 that can be loaded as it says. */
export interface Elf {
  readonly header: Uint8Array;
  /** Physical: where the 64-bit boot protocol enters. */
  readonly entry: number | undefined;
  readonly segments: readonly Segment[];
  /** Where PVH enters; absent: it cannot. */
  readonly pvhEntry?: number;
  /** Needs another program to be run: so it is no kernel. */
  readonly isProgram: boolean;
}

/** Or what is wrong with it, as the end of a sentence that begins with the file. */
export type ElfOr = Elf | { readonly wrong: string };

export const ELF_HEADER_BYTES = 64;
export const PROGRAM_HEADER_BYTES = 56;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_NOTE = 4;
const X86_64 = 62;
/** Linux's vmlinux has some five. */
const MAX_SEGMENTS = 128;
const MAX_NOTES_BYTES = 1 << 16;
/** XEN_ELFNOTE_PHYS32_ENTRY. @see include/xen/interface/elfnote.h in Linux */
export const PVH_NOTE = 18;
export const FOUR_GIB = 2 ** 32;

/** ELF's numbers of CPUs, in the words of uname(1). */
const MACHINES: Readonly<Record<number, string>> = {
  3: '32-bit x86',
  8: 'MIPS',
  20: '32-bit PowerPC',
  21: '64-bit PowerPC',
  22: 's390x',
  40: '32-bit ARM',
  62: 'x86-64',
  183: 'arm64',
  243: 'RISC-V',
  258: 'LoongArch',
};

export const isElf = (head: Uint8Array): boolean => hasAt(head, 0, [0x7f, 0x45, 0x4c, 0x46]);

/** Reads no more than headers and notes, and believes nothing that does not fit the file. @see elf(5) */
export async function readElf(bytes: Bytes): Promise<ElfOr> {
  const header = await bytes.read(0, ELF_HEADER_BYTES);
  const little = header[5] === 1;
  if (header.length < 20) return { wrong: 'is an ELF file that was cut off in its header' };
  const machine = viewOf(header).getUint16(18, little);
  const named = MACHINES[machine] ?? `CPU ${machine} of ELF`;
  if (machine !== X86_64 || !little) return { wrong: `is an ELF file for ${named}, and this host is x86-64` };
  if (header[4] !== 2) return { wrong: 'is a 32-bit ELF file, and this host boots 64-bit ones' };
  if (header.length < ELF_HEADER_BYTES) return { wrong: 'is an ELF file that was cut off in its header' };
  const view = viewOf(header);
  const type = view.getUint16(16, true);
  if (type === 1) return { wrong: 'is an ELF object or kernel module, no kernel' };
  const count = view.getUint16(56, true);
  const size = view.getUint16(54, true);
  const at = toNumber(view.getBigUint64(32, true));
  if (count === 0) return { wrong: 'is an ELF file without program headers: nothing of it would be loaded' };
  if (size !== PROGRAM_HEADER_BYTES || at === undefined || count > MAX_SEGMENTS)
    return { wrong: 'is an ELF file whose program headers cannot be read' };
  const table = await bytes.read(at, count * size);
  if (table.length < count * size) return { wrong: 'is an ELF file that was cut off before its program headers' };

  const segments: Segment[] = [];
  let pvhEntry: number | undefined;
  let isProgram = false;
  for (let i = 0; i < count; i++) {
    const line = viewOf(table.subarray(i * size, (i + 1) * size));
    const kind = line.getUint32(0, true);
    if (kind === PT_INTERP) isProgram = true;
    if (kind !== PT_LOAD && kind !== PT_NOTE) continue;
    const offset = toNumber(line.getBigUint64(8, true));
    const fileBytes = toNumber(line.getBigUint64(32, true));
    if (offset === undefined || fileBytes === undefined || offset + fileBytes > bytes.size) {
      if (kind === PT_NOTE) continue; // it only says something
      return { wrong: `is cut off: a segment should end at byte ${text(offset, fileBytes)}, and it has ${bytes.size}` };
    }
    if (kind === PT_NOTE) {
      const notes = await bytes.read(offset, Math.min(fileBytes, MAX_NOTES_BYTES));
      pvhEntry ??= pvhEntryIn(notes, line.getBigUint64(48, true) === 8n ? 8 : 4);
      continue;
    }
    const address = toNumber(line.getBigUint64(24, true));
    const memoryBytes = toNumber(line.getBigUint64(40, true));
    if (memoryBytes === 0) continue;
    if (address === undefined || memoryBytes === undefined || address + memoryBytes > FOUR_GIB)
      return { wrong: 'asks to be loaded above 4 GiB, where no boot protocol reaches' };
    if (fileBytes > memoryBytes) return { wrong: 'has a segment that is larger in the file than in memory' };
    const virtual = line.getBigUint64(16, true);
    segments.push({
      ...{ offset, fileBytes, address, memoryBytes, virtual },
      ...{ flags: line.getUint32(4, true), align: line.getBigUint64(48, true) },
    });
  }
  if (segments.length === 0) return { wrong: 'is an ELF file without anything to load' };
  if (overlap(segments)) return { wrong: 'has segments that overlap in memory' };
  const entry = physical(view.getBigUint64(24, true), segments);
  if (pvhEntry !== undefined && !segments.some((one) => holds(one, pvhEntry ?? 0)))
    return { wrong: 'has a PVH entry point that lies in none of its segments' };
  return { header, entry, segments, isProgram, ...(pvhEntry !== undefined && { pvhEntry }) };
}

/** @param align - 4 as nearly everybody has it, or 8 as the segment says */
function pvhEntryIn(notes: Uint8Array, align: 4 | 8): number | undefined {
  const view = viewOf(notes);
  const up = (n: number): number => Math.ceil(n / align) * align;
  for (let at = 0; at + 12 <= notes.length; ) {
    const [nameBytes, valueBytes, type] = [0, 4, 8].map((field) => view.getUint32(at + field, true)) as [
      number,
      number,
      number,
    ];
    const value = at + 12 + up(nameBytes);
    if (value + valueBytes > notes.length) return undefined;
    if (type === PVH_NOTE && hasAt(notes, at + 12, 'Xen\0') && (valueBytes === 4 || valueBytes === 8))
      return valueBytes === 4 ? view.getUint32(value, true) : toNumber(view.getBigUint64(value, true));
    at = value + up(valueBytes);
  }
  return undefined;
}

const holds = ({ address, memoryBytes }: Segment, at: number): boolean => at >= address && at < address + memoryBytes;

/** An entry is given as a physical address, and by some linkers as a virtual one. */
function physical(entry: bigint, segments: readonly Segment[]): number | undefined {
  for (const one of segments) if (entry < BigInt(FOUR_GIB) && holds(one, Number(entry))) return Number(entry);
  for (const { virtual, memoryBytes, address } of segments)
    if (entry >= virtual && entry < virtual + BigInt(memoryBytes)) return address + Number(entry - virtual);
  return undefined;
}

function overlap(segments: readonly Segment[]): boolean {
  const sorted = segments.toSorted((a, b) => a.address - b.address);
  return sorted.some((one, i) => {
    const next = sorted[i + 1];
    return next !== undefined && one.address + one.memoryBytes > next.address;
  });
}

const toNumber = (value: bigint): number | undefined =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;

const text = (offset: number | undefined, bytes: number | undefined): string =>
  offset === undefined || bytes === undefined ? 'beyond all files' : String(offset + bytes);
