import { expect, test } from 'vitest';
import { decompressLz4 } from './lz4.ts';

const LEGACY = [0x02, 0x21, 0x4c, 0x18];
const FRAME = [0x04, 0x22, 0x4d, 0x18];
const SKIPPABLE = [0x53, 0x2a, 0x4d, 0x18];
const text = (value: string): number[] => [...Buffer.from(value)];
const le32 = (value: number): number[] => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >>> 24) & 255];

const legacy = (...blocks: readonly number[][]): number[] => [
  ...LEGACY,
  ...blocks.flatMap((block) => [...le32(block.length), ...block]),
];

/** Flags: version 01, independent 0x20, block sums 0x10, size 0x08, sum 0x04, dictionary 0x01. */
function frame(
  flags: number,
  ...blocks: readonly (readonly number[] | { readonly plain: readonly number[] })[]
): number[] {
  const parts = blocks.flatMap((block) => {
    const sum = flags & 0x10 ? le32(7) : [];
    return 'plain' in block
      ? [...le32(block.plain.length | 0x80000000), ...block.plain, ...sum]
      : [...le32(block.length), ...block, ...sum];
  });
  const size = flags & 0x08 ? [...le32(5), ...le32(0)] : [];
  return [...FRAME, 0x40 | flags, 0x40, ...size, 0, ...parts, ...le32(0), ...(flags & 0x04 ? le32(9) : [])];
}

const unpack = (input: readonly number[], limit = 1000): string =>
  Buffer.from(decompressLz4(Uint8Array.from(input), limit)).toString();

test('literals and matches, also overlapping ones and lengths beyond a nibble', () => {
  // Four literals, then 8 bytes from 4 back, which overlap what they write; then one literal.
  expect(unpack(legacy([0x44, ...text('abcd'), 4, 0, 0x10, ...text('x')]))).toBe('abcdabcdabcdx');
  // 15 + 5 literals; 15 + 255 + 1 + 4 bytes of match from one back.
  expect(unpack(legacy([0xff, 5, ...text('12345678901234567890'), 1, 0, 255, 1, 0x10, ...text('y')]))).toBe(
    `12345678901234567890${'0'.repeat(275)}y`,
  );
});

test('several blocks, several frames of both formats, one after the other', () => {
  const one = [0x30, ...text('one')];
  const two = [0x30, ...text('two')];
  expect(unpack(legacy(one, two))).toBe('onetwo');
  expect(unpack([...legacy(one), ...legacy(two), ...frame(0x20, one)])).toBe('onetwoone');
  expect(unpack([...frame(0x34, one), ...SKIPPABLE, ...le32(2), 1, 2, ...frame(0x08, two)])).toBe('onetwo');
});

test('a frame may have blocks that are not packed, sums and a size', () => {
  for (const flags of [0x20, 0x24, 0x28, 0x30, 0x3c])
    expect(unpack(frame(flags, [0x30, ...text('one')], { plain: text('two') }))).toBe('onetwo');
});

test('a block refers to the one before only where they are linked', () => {
  const second = [0x04, 3, 0, 0x10, ...text('!')];
  expect(unpack(frame(0x00, [0x30, ...text('one')], second))).toBe('oneoneoneon!');
  expect(() => unpack(frame(0x20, [0x30, ...text('one')], second))).toThrow('before the block');
});

test('more than the room at first, which grows up to the limit', () => {
  const long = [0xf0, ...new Array(1_200).fill(255), 0, ...new Array(306_015).fill(65)];
  expect(unpack(legacy(long), 306_015)).toBe('A'.repeat(306_015));
  expect(() => unpack(legacy(long), 306_014)).toThrow('larger than was said');
});

test.each([
  ['another magic', [1, 2, 3, 4, 5, 6, 7, 8], 'magic'],
  ['a block that is cut', [...LEGACY, 50, 0, 0, 0, 0x10, 97, 0, 0], 'beyond the input'],
  ['a frame without its end', frame(0x20, [0x30, ...text('one')]).slice(0, -4), 'ends within'],
  ['a frame without its sum', frame(0x24, [0x30, ...text('one')]).slice(0, -4), 'beyond the input'],
  ['literals that are cut', legacy([0x50, ...text('abc')]), 'beyond the block'],
  ['a match before the block', legacy([0x14, ...text('a'), 9, 0, 0x10, ...text('x')]), 'before the block'],
  ['a match without an offset', legacy([0x14, ...text('a'), 0, 0, 0x10, ...text('x')]), 'before the block'],
  ['more than there is room for', legacy([0xf0, 200, ...new Array(215).fill(65)]), 'larger than was said'],
  ['a frame that needs a dictionary', frame(0x21), 'dictionary'],
  ['a frame of another version', [...FRAME, 0xa0, 0x40, 0, 0, 0, 0, 0], 'version 2'],
])('%s is refused', (_, input, words) => {
  expect(() => unpack(input, 100)).toThrow(words);
});
