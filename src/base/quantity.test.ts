import { expect, test } from 'vitest';
import { parseDuration, parseSize } from './quantity.ts';

test.for([
  ['500ms', 500],
  ['60s', 60_000],
  ['1.5m', 90_000],
  ['1h', 3_600_000],
  ['7d', 604_800_000],
  ['7', 7_000],
  ['0', 0],
  ['0.0004', 0],
] as const)('time %s is %d ms', ([text, ms]) => {
  expect(parseDuration(text)).toBe(ms);
});

test.for(['', '-1s', '1w', '1e9', 's', '1.s', '.5s', ' 1s', '1 s', '9'.repeat(15).concat('d'), '1'.repeat(400)])(
  'no time: "%s"',
  (text) => {
    expect(parseDuration(text)).toBeUndefined();
  },
);

test.for([
  ['512', 512],
  ['512B', 512],
  ['3K', 3_072],
  ['512M', 512 << 20],
  ['512MiB', 512 << 20],
  ['512 mb', 512 << 20],
  ['2G', 2 * 2 ** 30],
  ['1T', 2 ** 40],
  ['0', 0],
] as const)('size %s is %d bytes', ([text, bytes]) => {
  expect(parseSize(text, 'B')).toBe(bytes);
});

test('a bare size is of the unit that its reader wants, one with a unit is not', () => {
  expect([parseSize('512', 'M'), parseSize('512B', 'M'), parseSize('512K', 'M')]).toEqual([512 << 20, 512, 512 << 10]);
});

test.for(['', 'G', '-1', '1.5G', '1e3', '1P', '1Mi b', '0x10', '9'.repeat(15).concat('T'), '1'.repeat(400)])(
  'no size: "%s"',
  (text) => {
    expect(parseSize(text, 'B')).toBeUndefined();
  },
);
