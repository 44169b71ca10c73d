import { expect, test } from 'vitest';
import { exitStatusIn, exitText } from './exit-status.ts';

const LINE = 'flintlock-guest: ended exit=';

test.each([
  [`out\r\n${LINE}3\r\n[    5.1] reboot: Power down\r\n`, 3],
  [`${LINE}0\n`, 0],
  [`said: ${LINE}1\nmore\n${LINE}255\n`, 255],
  [`${LINE}256\n`, undefined],
  [`${LINE}3`, undefined],
  [`${LINE}-1\n`, undefined],
  [`${LINE}03000\n`, undefined],
  [`${LINE}3\nflintlock-initrd: the root is /dev/vda, rw\n`, undefined],
  ['flintlock-guest: run exit=3\n', undefined],
  ['', undefined],
])('%j', (console, status) => {
  expect(exitStatusIn(console)).toBe(status);
});

test('a death by signal is told by the signal', () => {
  expect([0, 3, 128, 137, 255].map(exitText)).toEqual([
    'with exit status 0',
    'with exit status 3',
    'with exit status 128',
    'by signal 9 (exit status 137)',
    'with exit status 255',
  ]);
});
