import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createUlids } from '../base/ulid.ts';
import { uidsIn } from './uids-in.ts';

const uid = createUlids(
  () => 1_800_000_000_000,
  () => 0.7,
)();

test.each([uid, `-name=${uid}`, `file=/state/vm/${uid}/disk,id=x`, `ABC${uid}0`, `${uid}${uid}`])(
  'a uid is found in %s',
  (text) => {
    expect(uidsIn(text)).toContain(uid);
  },
);

test.each(['', '/usr/bin/qemu', uid.slice(1), uid.toLowerCase()])('none is found in "%s"', (text) => {
  expect(uidsIn(text)).toEqual([]);
});

test('it finds what looking for each would find', () => {
  const piece = fc.stringMatching(/^[A-Z0-9a-z/,=-]{0,30}$/);
  fc.assert(
    fc.property(piece, piece, fc.boolean(), (before, after, isThere) => {
      const text = `${before}${isThere ? uid : uid.slice(3)}${after}`;
      expect(uidsIn(text).includes(uid)).toBe(text.includes(uid));
    }),
  );
});
