import { type Bytes, piecesOf, rangeOf, viewOf } from './bytes.ts';
import { ELF_HEADER_BYTES, type Elf, PROGRAM_HEADER_BYTES, PVH_NOTE, type Segment } from './elf.ts';
import { STUB_ALIGN, STUB_MEMORY_BYTES, stubAt } from './pvh-stub.ts';
import type { FileKind } from './what-file.ts';

/** How a kernel without a PVH entry point is written with one: what is loaded as it was, and the stub. */
export interface Fit {
  /** Where the stub lies in the guest's memory. */
  readonly address: number;
  /** Of the whole file. */
  readonly sizeBytes: number;
  readonly head: Uint8Array;
  /** What follows, each at its place in the new file, in order. */
  readonly parts: readonly { readonly at: number; readonly segment: Segment }[];
}

/** Behind the BIOS area, and below where kernels lie, which is 16 MiB nearly always. */
const USUAL_ADDRESS = 0x10_0000;
/** Machines have their memory's hole for devices above it. */
const HIGHEST = 3 * 2 ** 30;
/** Of what is loaded: Linux with everything built in has some 100 MiB. */
const MAX_LOADED_BYTES = 2 ** 29;
const PAGE = 4096;
const [PT_LOAD, PT_NOTE] = [1, 4];
const [READ, READ_WRITE_EXECUTE] = [4, 7];

/** Whether a kernel can be entered by the 64-bit boot protocol alone. */
export const needsFit = (kind: FileKind): kind is Extract<FileKind, { is: 'elf' }> =>
  kind.is === 'elf' && kind.elf.pvhEntry === undefined;

/** @returns what stands against it, as the end of a sentence that begins with the file */
export function planFit({ header, entry, segments }: Elf): Fit | { readonly wrong: string } {
  if (entry === undefined) return { wrong: 'has no entry in one of its segments' };
  const loaded = segments.reduce((sum, one) => sum + one.fileBytes, 0);
  if (loaded > MAX_LOADED_BYTES) return { wrong: `would load ${loaded} bytes, and ${MAX_LOADED_BYTES} are the most` };
  const address = placeFor(segments);
  if (address === undefined)
    return { wrong: 'leaves no room for an entry point below 3 GiB: 32 KiB in one piece, from 1 MiB on' };

  const noteAt = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES * (segments.length + 2);
  const note = pvhNote(address);
  const stubOffset = up(noteAt + note.length);
  const stub = stubAt(address, entry);
  let end = up(stubOffset + stub.length);
  const parts = segments.map((segment) => {
    // Some loaders map what they load: page by page.
    const at = end + (segment.address % PAGE);
    end = up(at + segment.fileBytes);
    return { at, segment };
  });
  const head = new Uint8Array(up(stubOffset + stub.length));
  head.set(elfHeader(header, segments.length + 2));
  const lines = [
    {
      type: PT_NOTE,
      offset: noteAt,
      address: 0,
      fileBytes: note.length,
      memoryBytes: note.length,
      flags: READ,
      align: 4,
    },
    {
      ...{ type: PT_LOAD, offset: stubOffset, address, fileBytes: stub.length, memoryBytes: STUB_MEMORY_BYTES },
      ...{ flags: READ_WRITE_EXECUTE, align: PAGE },
    },
    ...parts.map(({ at, segment }) => ({ ...segment, type: PT_LOAD, offset: at, align: PAGE })),
  ];
  lines.forEach((line, i) => {
    head.set(programHeader(line), ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES * i);
  });
  head.set(note, noteAt);
  head.set(stub, stubOffset);
  return { address, sizeBytes: end, head, parts };
}

/** The new file, piece by piece. @throws Error when the kernel became shorter meanwhile */
export async function* writeFit(fit: Fit, kernel: Bytes, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield fit.head;
  let written = fit.head.length;
  for (const { at, segment } of fit.parts) {
    if (at > written) yield new Uint8Array(at - written);
    written = at;
    for await (const piece of piecesOf(rangeOf(kernel, segment.offset, segment.fileBytes), signal)) {
      yield piece;
      written += piece.length;
    }
    if (written !== at + segment.fileBytes) throw new Error(`the kernel ends within a segment, at ${written - at}`);
  }
  if (fit.sizeBytes > written) yield new Uint8Array(fit.sizeBytes - written);
}

/** The usual place, or the first free one behind a segment. */
function placeFor(segments: readonly Segment[]): number | undefined {
  const isFree = (from: number): boolean =>
    from + STUB_MEMORY_BYTES <= HIGHEST &&
    !segments.some((one) => from < one.address + one.memoryBytes && one.address < from + STUB_MEMORY_BYTES);
  const behind = segments.map((one) => Math.ceil((one.address + one.memoryBytes) / STUB_ALIGN) * STUB_ALIGN);
  return [USUAL_ADDRESS, ...behind.filter((at) => at > USUAL_ADDRESS).sort((a, b) => a - b)].find(isFree);
}

const up = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;

/** @see elf(5), Elf64_Nhdr */
function pvhNote(address: number): Uint8Array {
  const note = new Uint8Array(24);
  const view = viewOf(note);
  view.setUint32(0, 4, true);
  view.setUint32(4, 8, true);
  view.setUint32(8, PVH_NOTE, true);
  note.set(Buffer.from('Xen\0'), 12);
  view.setBigUint64(16, BigInt(address), true);
  return note;
}

/** The old one, without section headers: nobody who loads it asks for them. */
function elfHeader(old: Uint8Array, programHeaders: number): Uint8Array {
  const header = Uint8Array.from(old.subarray(0, ELF_HEADER_BYTES)); // a copy: slice() of a Buffer is none
  const view = viewOf(header);
  view.setBigUint64(32, BigInt(ELF_HEADER_BYTES), true); // e_phoff
  view.setBigUint64(40, 0n, true); // e_shoff
  view.setUint16(52, ELF_HEADER_BYTES, true);
  view.setUint16(54, PROGRAM_HEADER_BYTES, true);
  view.setUint16(56, programHeaders, true);
  view.setUint16(60, 0, true); // e_shnum
  view.setUint16(62, 0, true); // e_shstrndx
  return header;
}

interface Line {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly virtual?: bigint;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly align: number;
}

function programHeader({ type, flags, offset, address, virtual, fileBytes, memoryBytes, align }: Line): Uint8Array {
  const line = new Uint8Array(PROGRAM_HEADER_BYTES);
  const view = viewOf(line);
  view.setUint32(0, type, true);
  view.setUint32(4, flags, true);
  [
    BigInt(offset),
    virtual ?? BigInt(address),
    BigInt(address),
    BigInt(fileBytes),
    BigInt(memoryBytes),
    BigInt(align),
  ].forEach((value, i) => {
    view.setBigUint64(8 + i * 8, value, true);
  });
  return line;
}
