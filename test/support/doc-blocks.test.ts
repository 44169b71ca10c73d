import { expect, test } from 'vitest';
import { docBlocks } from './doc-blocks.ts';

test('shell blocks come in order, with why they are not run', () => {
  const page =
    'a\n\n```sh\none\n```\n\n<!-- not run: no network -->\n\n```sh\ntwo\n2\n```\n```yaml\nx: 1\n```\n\n```sh\nthree\n```\n';
  expect(docBlocks(page)).toEqual([
    { line: 3, text: 'one' },
    { line: 9, text: 'two\n2', notRun: 'no network' },
    { line: 17, text: 'three' },
  ]);
});

test('a reason that belongs to other text does not count', () => {
  expect(docBlocks('<!-- not run: x -->\ntext\n```sh\none\n```\n')).toEqual([{ line: 3, text: 'one' }]);
});

test.each([
  ['commands without a language', '```\nflintlock list\n```\n', /not marked as sh/],
  ['a block without an end', '```sh\nflintlock list\n', /has no end/],
])('%s are told', (_, page, message) => {
  expect(() => docBlocks(page)).toThrow(message);
});
