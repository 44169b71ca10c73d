import { expect, test } from 'vitest';
import { oneLine } from './one-line.ts';

test.each([
  ['a\nb\r\n\tc', 'a b c'],
  ['unpack: \\x0aError: x\\n\\x1b[31m', 'unpack: Error: x [31m'],
  ['octal \\012 and \\u000a', 'octal and'],
  ['a name \\new stays, and so does \\d+', 'a name \\new stays, and so does \\d+'],
  [' \u2028 x \u0000 ', 'x'],
])('%j is %j', (text, line) => expect(oneLine(text)).toBe(line));

test('it is cut where it is too long', () => expect(oneLine('x'.repeat(50), 10)).toBe(`${'x'.repeat(7)}...`));
