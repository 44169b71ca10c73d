import { expect, test } from 'vitest';
import { chooseUsers, isIn, othersUsers, ownOf, parseUserRange, sharersOf } from './user-ranges.ts';

const range = { first: 700_000, last: 765_535 };

test.each([
  ['', '', []],
  ['root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n', 'ann:100000:65536\n# x\nbroken:1\n', []],
  ['ann:x:700000:1::/:/bin/sh', '', ['the account ann (700000)']],
  // As useradd gives them, to the tenth user.
  ['', 'ann:100000:65536\njim:689824:65536\n', ['the containers of jim (689824-755359)']],
  ['', 'jim:634464:65536\nsue:765536:65536\n', []],
])('of %j and %j', (passwd, subuid, found) => expect(sharersOf(range, othersUsers(passwd, subuid))).toEqual(found));

test('a few are named', () => {
  const many = othersUsers('', Array.from({ length: 9 }, (_, i) => `u${i}:700000:9`).join('\n'));
  expect(sharersOf(range, many)).toHaveLength(4);
  expect(sharersOf(range, many).at(-1)).toBe('6 more');
});

test.each([
  ['', 700_000],
  ['ann:100000:65536\n', 700_000],
  ['jim:689824:65536\n', 765_536],
  // Eleven users: the whole of the first block is theirs.
  ['jim:689824:65536\nsue:755360:65536\n', 831_072],
  // Nothing is nobody's.
  ['all:0:4294967295\n', 700_000],
])('beside %j the users from %i on are chosen', (subuid, first) => {
  expect(chooseUsers(othersUsers('', subuid))).toEqual({ first, last: first + 65_535 });
});

test.each([
  [[], 10],
  [[{ first: 5, last: 12 }], 7],
  [[{ first: 18, last: 30 }], 8],
  [
    [
      { first: 15, last: 16 },
      { first: 0, last: 11 },
      { first: 15, last: 15 },
    ],
    6,
  ],
  [[{ first: 0, last: 100 }], 0],
])('of 10 to 19 beside %j %i are one’s own', (others, own) => {
  const ten = { first: 10, last: 19 };
  expect(ownOf(ten, others)).toBe(own);
  expect(Array.from({ length: 10 }, (_, i) => i + 10).filter((user) => !isIn(user, others))).toHaveLength(own);
});

test.each(['0-10', '700000', '700010-700000', '700000-4294967295', '65000-66000', 'a-b', ''])('%j is none', (text) =>
  expect(parseUserRange(text)).toBeUndefined(),
);
test('a range is read', () => expect(parseUserRange('700000-765535')).toEqual(range));
