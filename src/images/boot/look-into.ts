import { Readable } from 'node:stream';
import { errorMessage } from '../../base/error-text.ts';
import { Fault } from '../../domain/fault.ts';
import type { KernelFacts } from '../../domain/kernel-facts.ts';
import type { Files, Run } from '../../ports/host.ts';
import { type Bytes, bytesOf, piecesOf, rangeOf } from './bytes.ts';
import type { BzImage } from './bzimage.ts';
import type { Elf } from './elf.ts';
import { type Packing, packingOf, unpacker } from './kernel-packing.ts';
import { PartsSeen } from './kernel-parts.ts';

export interface LookDeps {
  readonly files: Files;
  readonly run: Run;
  /** Where what is packed and what is unpacked may lie, of so many bytes together. Fault `full` where there is none. */
  room(bytes: number): Promise<Room>;
}

/** For one look: given back by its disposal. */
export interface Room extends Disposable {
  /** A directory that is not there yet. */
  readonly path: string;
}

/** A kernel with everything built in has some 100 MB. */
const MAX_UNPACKED_BYTES = 2 ** 29;
/** No kernel is packed so well: xz makes a fifth of it. */
const MOST_PACKED = 16;
const TOOL_MS = 120_000;
const PAGE = 4096;
/** How what was not seen ends, where the host is in the way: it may be out of it the next time. */
export const NOT_YET = '(it is looked at again with the next microVM)';
/** Behind what is packed stands how long it was, as 32 bits; gzip has that in itself. @see scripts/Makefile.lib in Linux: size_append */
const SIZE_BYTES = 4;

class NotInstalled extends Error {}

/** What a vmlinux is: undefined when it is no Linux. */
export async function lookIntoElf(bytes: Bytes, elf: Elf, signal: AbortSignal): Promise<KernelFacts | undefined> {
  const seen = new PartsSeen();
  for (const { offset, fileBytes } of elf.segments)
    for await (const piece of piecesOf(rangeOf(bytes, offset, fileBytes), signal)) seen.look(piece);
  return seen.isLinux ? seen.facts : undefined;
}

/** What a bzImage has packed in it. What cannot be unpacked here is no fault of the kernel's: it says so in `unseen`. */
export async function lookIntoBzImage(
  bytes: Bytes,
  { payload, release }: BzImage,
  deps: LookDeps,
  signal: AbortSignal,
): Promise<KernelFacts> {
  const known: KernelFacts = release === undefined ? {} : { release };
  if (!payload) return { ...known, unseen: 'its header does not say where the kernel itself is' };
  const packing = packingOf(await bytes.read(payload.offset, 16));
  if (!packing) return { ...known, unseen: 'it is packed in a way that is not known' };
  const packed = rangeOf(bytes, payload.offset, payload.bytes - (packing === 'gzip' ? 0 : SIZE_BYTES));
  try {
    const seen = unpacker(packing)
      ? await lookAtStream(packed, packing, signal)
      : await lookByTool(packed, packing, deps, signal);
    return seen.isLinux ? { ...seen.facts, ...known } : { ...known, unseen: 'what is packed in it is not known' };
  } catch (error) {
    if (signal.aborted) throw error;
    const why = errorMessage(error);
    const isPassing = error instanceof NotInstalled || (error instanceof Fault && error.kind === 'full');
    return { ...known, unseen: `it could not be unpacked: ${why}${isPassing ? ` ${NOT_YET}` : ''}` };
  }
}

async function lookAtStream(packed: Bytes, packing: Packing, signal: AbortSignal): Promise<PartsSeen> {
  const unpack = unpacker(packing);
  if (!unpack) throw new Error(`no way to unpack ${packing}`);
  const input = Readable.from(piecesOf(packed, signal), { objectMode: false });
  input.on('error', (error) => unpack.destroy(error));
  input.pipe(unpack);
  try {
    return await lookAt(unpack);
  } finally {
    input.destroy();
    unpack.destroy();
  }
}

async function lookAt(pieces: AsyncIterable<unknown>): Promise<PartsSeen> {
  const seen = new PartsSeen();
  let bytes = 0;
  for await (const piece of pieces) {
    if (!(piece instanceof Uint8Array)) continue;
    bytes += piece.length;
    if (bytes > MAX_UNPACKED_BYTES) throw new Error(`it unpacks to more than ${MAX_UNPACKED_BYTES} bytes`);
    seen.look(piece);
  }
  return seen;
}

/** The distribution's own tools: each makes KERNEL of KERNEL.SUFFIX, however it was named before. */
const TOOLS: Readonly<Partial<Record<Packing, { readonly suffix: string; readonly argv: readonly string[] }>>> = {
  // Behind the one stream there may be zeros.
  xz: { suffix: '.xz', argv: ['xz', '--decompress', '--single-stream', '--force', '--quiet', '--'] },
  lzma: { suffix: '.lzma', argv: ['xz', '--format=lzma', '--decompress', '--force', '--quiet', '--'] },
  lz4: { suffix: '.lz4', argv: ['lz4', '-d', '-m', '-q', '-f', '--'] },
};

async function lookByTool(
  packed: Bytes,
  packing: Packing,
  { files, run, room }: LookDeps,
  signal: AbortSignal,
): Promise<PartsSeen> {
  const tool = TOOLS[packing];
  if (!tool) throw new Error(`it is packed with ${packing}`);
  const most = Math.min(MAX_UNPACKED_BYTES, Math.max(PAGE, packed.size) * MOST_PACKED);
  using place = await room(most + packed.size);
  const kernel = `${place.path}/kernel`;
  const [program = '', ...args] = [...tool.argv, `${kernel}${tool.suffix}`];
  await files.makeDirectory(place.path, 0o700);
  try {
    await files.write(`${kernel}${tool.suffix}`, piecesOf(packed, signal));
    // What it writes is bounded: a small file may unpack to a full disk.
    try {
      await run(['prlimit', `--fsize=${most}`, '--', program, ...args], { signal, timeoutMs: TOOL_MS });
    } catch (error) {
      if (!(error instanceof Fault && error.message.includes(`failed to execute ${program}: No such file`)))
        throw error;
      throw new NotInstalled(`${program} is not installed`);
    }
    const size = (await files.stat(kernel))?.sizeBytes ?? 0;
    return await lookAt(piecesOf(bytesOf(files, kernel, size), signal));
  } finally {
    await files.remove(place.path);
  }
}
