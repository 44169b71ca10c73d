/**
 * Decompresses LZ4's legacy format, in which Debian's kernels are packed.
 * Node has no LZ4, and one file a kernel is not worth another package.
 *
 * @param output - filled from its start; blocks may refer back in it
 * @returns bytes written
 * @throws Error when the input is not what the format allows
 * @see https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md (legacy frame)
 * @see https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
 */
export function decompressLegacy(input: Uint8Array, output: Uint8Array): number {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (input.length < 8 || view.getUint32(0, true) !== 0x184c2102) throw new Error('no legacy LZ4 frame: wrong magic');
  let at = 4;
  let written = 0;
  // The kernel's build appends four bytes, the size of it all.
  while (at + 4 < input.length) {
    const size = view.getUint32(at, true);
    at += 4;
    if (at + size > input.length) throw new Error(`LZ4 block at ${at} of ${size} bytes ends beyond the input`);
    written = block(input.subarray(at, at + size), output, written);
    at += size;
  }
  return written;
}

/** Decompresses one block to `output` from `start`. @returns the end of what it wrote */
function block(input: Uint8Array, output: Uint8Array, start: number): number {
  let at = 0;
  let to = start;
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
    if (to + literals > output.length) throw new Error('LZ4 output is larger than was said');
    output.set(input.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at === input.length) break; // the last sequence has no match
    const offset = byte() | (byte() << 8);
    const match = length(token & 15) + 4;
    if (offset === 0 || offset > to - start) throw new Error('LZ4 match begins before the block');
    if (to + match > output.length) throw new Error('LZ4 output is larger than was said');
    if (offset >= match) {
      output.copyWithin(to, to - offset, to - offset + match);
      to += match;
    } else {
      for (let i = 0; i < match; i++, to++) output[to] = output[to - offset] ?? 0;
    }
  }
  return to;
}
