import { expect, test } from 'vitest';
import { sharersOf } from './user-ranges.ts';

const range = { first: 700_000, last: 765_535 };

test.each([
  ['', '', []],
  ['root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n', 'ann:100000:65536\n# x\nbroken:1\n', []],
  ['ann:x:700000:1::/:/bin/sh', '', ['the account ann (700000)']],
  // As useradd gives them, to the tenth user.
  ['', 'ann:100000:65536\njim:689824:65536\n', ['the containers of jim (689824-755359)']],
  ['', 'jim:634464:65536\nsue:765536:65536\n', []],
])('of %j and %j', (passwd, subuid, found) => expect(sharersOf(range, passwd, subuid)).toEqual(found));

test('a few are named', () => {
  const many = Array.from({ length: 9 }, (_, i) => `u${i}:700000:9`).join('\n');
  expect(sharersOf(range, '', many)).toHaveLength(4);
  expect(sharersOf(range, '', many).at(-1)).toBe('6 more');
});
