import { expect, test } from 'vitest';
import { isObject, objectOf, objectsIn, textOf } from './json.ts';

const ODD = [null, undefined, 7, 'x', true, ['x']];

test('what is no object is none', () => {
  expect(isObject({})).toBe(true);
  expect(ODD.map(isObject)).toEqual(ODD.map(() => false));
  expect(ODD.map(objectOf)).toEqual(ODD.map(() => ({})));
  expect(objectOf({ a: 1 })).toEqual({ a: 1 });
});

test('of a list the objects are taken, of anything else nothing', () => {
  expect(objectsIn([{ a: 1 }, ...ODD, {}])).toEqual([{ a: 1 }, {}]);
  expect([...ODD.slice(0, 5), { a: 1 }].map(objectsIn)).toEqual([[], [], [], [], [], []]);
});

test('a text is one, all else is empty', () => {
  expect([...ODD, {}].map(textOf)).toEqual(['', '', '', 'x', '', '', '']);
});
