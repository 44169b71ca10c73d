import { expect, test } from 'vitest';
import { decompressLegacy } from './lz4.ts';

const MAGIC = [0x02, 0x21, 0x4c, 0x18];
const text = (value: string): number[] => [...Buffer.from(value)];

/** A frame of these blocks, with the kernel's four bytes of size behind it. */
function frame(...blocks: readonly number[][]): Uint8Array {
  const parts = blocks.flatMap((block) => [block.length & 255, block.length >> 8, 0, 0, ...block]);
  return Uint8Array.from([...MAGIC, ...parts, 9, 9, 9, 9]);
}

function unpack(input: Uint8Array, room = 1000): string {
  const output = new Uint8Array(room);
  return Buffer.from(output.subarray(0, decompressLegacy(input, output))).toString();
}

test('literals and matches, also overlapping ones and lengths beyond a nibble', () => {
  // Four literals, then 8 bytes from 4 back, which overlap what they write; then one literal.
  expect(unpack(frame([0x44, ...text('abcd'), 4, 0, 0x10, ...text('x')]))).toBe('abcdabcdabcdx');
  // 15 + 5 literals; 15 + 255 + 1 + 4 bytes of match from one back.
  expect(unpack(frame([0xff, 5, ...text('12345678901234567890'), 1, 0, 255, 1, 0x10, ...text('y')]))).toBe(
    `12345678901234567890${'0'.repeat(275)}y`,
  );
});

test('several blocks, one after the other', () => {
  expect(unpack(frame([0x30, ...text('one')], [0x30, ...text('two')]))).toBe('onetwo');
});

test.each([
  ['another magic', Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]), 'magic'],
  ['a block that is cut', Uint8Array.from([...MAGIC, 50, 0, 0, 0, 0x10, 97, 0, 0]), 'beyond the input'],
  ['literals that are cut', frame([0x50, ...text('abc')]), 'beyond the block'],
  ['a match before the block', frame([0x14, ...text('a'), 9, 0, 0x10, ...text('x')]), 'before the block'],
  ['a match without an offset', frame([0x14, ...text('a'), 0, 0, 0x10, ...text('x')]), 'before the block'],
  ['more than there is room for', frame([0xf0, 200, ...new Array(215).fill(65)]), 'larger than was said'],
])('%s is refused', (_, input, words) => {
  expect(() => unpack(input, 100)).toThrow(words);
});
