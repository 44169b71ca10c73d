import { expect, test } from 'vitest';
import { headerNumber } from './numbers.ts';

test.each([
  ['0000644\0', 0o644],
  ['   644 \0', 0o644],
  ['\0\0 644 \0\0', 0o644],
  ['', 0],
  [' \0 ', 0],
  // Left of what stood there before, which Go and GNU tar do not look at either.
  ['644\0x55\0', 0o644],
])('%j is a number', (text, number) => expect(headerNumber(Buffer.from(text, 'latin1'))).toBe(number));

test.each(['64x', '8', '6 4', '-1'])('%j is none', (text) =>
  expect(() => headerNumber(Buffer.from(text, 'latin1'))).toThrow('a number that is none'),
);
