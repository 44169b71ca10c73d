/** Which of the two formats begins here: four bytes, little endian. */
const FRAME = 0x184d2204;
const LEGACY = 0x184c2102;
/** 0x184d2a50 to 0x184d2a5f: not for us. */
const SKIPPABLE = 0x184d2a5;

/**
 * Decompresses LZ4, its frame format as well as the legacy one in which
 * kernels are packed. Node has no LZ4, and one file a kernel is not worth
 * another package. Checksums are not looked at: what comes out is an ELF file
 * of the length that was said, or it is refused.
 *
 * @param input - frames, one after the other, and nothing behind them
 * @param limit - bytes that come out at most
 * @throws Error when the input is not what the formats allow
 * @see https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
 * @see https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
 */
export function decompressLz4(input: Uint8Array, limit: number): Uint8Array {
  const output = new Growing(limit);
  let at = 0;
  while (at < input.length) {
    const magic = word(input, at);
    if (magic === FRAME) at = frame(input, at + 4, output);
    else if (magic === LEGACY) at = legacyFrame(input, at + 4, output);
    else if (magic >>> 4 === SKIPPABLE) at += 8 + word(input, at + 4);
    else throw new Error(`no LZ4 frame at byte ${at}: wrong magic`);
  }
  if (at > input.length) throw new Error('LZ4 frame ends beyond the input');
  return output.written;
}

/** Room that grows as it is needed, up to a limit. */
class Growing {
  readonly #limit: number;
  bytes = new Uint8Array(1 << 16);
  length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  /** Makes sure that so many more bytes can be written. */
  reserve(more: number): void {
    const wanted = this.length + more;
    if (wanted > this.#limit) throw new Error('LZ4 output is larger than was said');
    if (wanted <= this.bytes.length) return;
    const larger = new Uint8Array(Math.min(Math.max(wanted, this.bytes.length * 2), Math.max(this.#limit, wanted)));
    larger.set(this.written);
    this.bytes = larger;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
}

function word(input: Uint8Array, at: number): number {
  if (at + 4 > input.length) throw new Error(`LZ4 input ends within the four bytes at ${at}`);
  return new DataView(input.buffer, input.byteOffset + at, 4).getUint32(0, true);
}

/** @returns where it ends */
function frame(input: Uint8Array, begin: number, output: Growing): number {
  const flags = input[begin] ?? 0;
  if (flags >> 6 !== 1) throw new Error(`LZ4 frame of version ${flags >> 6}`);
  const has = (bit: number): boolean => (flags & (1 << bit)) !== 0;
  const isIndependent = has(5);
  const hasBlockSum = has(4);
  const hasSize = has(3);
  const hasSum = has(2);
  if (has(0)) throw new Error('LZ4 frame needs a dictionary');
  // Flags, block size, header checksum.
  let at = begin + 2 + (hasSize ? 8 : 0) + 1;
  const first = output.length;
  for (;;) {
    const said = word(input, at);
    at += 4;
    if (said === 0) return at + (hasSum ? 4 : 0);
    const size = said & 0x7fffffff;
    const bytes = part(input, at, size);
    if (said >>> 31 === 1) output.append(bytes);
    else block(bytes, output, isIndependent ? output.length : first);
    at += size + (hasBlockSum ? 4 : 0);
  }
}

/** Ends with the input, or where another frame begins. @returns where */
function legacyFrame(input: Uint8Array, begin: number, output: Growing): number {
  let at = begin;
  while (at < input.length) {
    const size = word(input, at);
    if (size === FRAME || size === LEGACY || size >>> 4 === SKIPPABLE) return at;
    block(part(input, at + 4, size), output, output.length);
    at += 4 + size;
  }
  return at;
}

function part(input: Uint8Array, at: number, size: number): Uint8Array {
  if (at + size > input.length) throw new Error(`LZ4 block at ${at} of ${size} bytes ends beyond the input`);
  return input.subarray(at, at + size);
}

/** Decompresses one block. @param earliest - from where on its matches may begin */
function block(input: Uint8Array, output: Growing, earliest: number): void {
  let at = 0;
  const byte = (): number => {
    const value = input[at++];
    if (value === undefined) throw new Error('LZ4 block ends too early');
    return value;
  };
  /** A length of 15 goes on in further bytes, until one is below 255. */
  const length = (nibble: number): number => {
    let sum = nibble;
    if (nibble === 15) {
      let more: number;
      do {
        more = byte();
        sum += more;
      } while (more === 255);
    }
    return sum;
  };
  while (at < input.length) {
    const token = byte();
    const literals = length(token >> 4);
    if (at + literals > input.length) throw new Error('LZ4 literals end beyond the block');
    output.append(input.subarray(at, at + literals));
    at += literals;
    if (at === input.length) break; // the last sequence has no match
    const offset = byte() | (byte() << 8);
    const match = length(token & 15) + 4;
    if (offset === 0 || offset > output.length - earliest) throw new Error('LZ4 match begins before the block');
    output.reserve(match);
    const { bytes } = output;
    const to = output.length;
    if (offset >= match) bytes.copyWithin(to, to - offset, to - offset + match);
    else for (let i = to; i < to + match; i++) bytes[i] = bytes[i - offset] ?? 0;
    output.length += match;
  }
}
