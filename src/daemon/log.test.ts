import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { readable } from './log.ts';

test('an error that nobody foresaw is told with its stack and its causes', () => {
  const error = new Error('no answer', { cause: new TypeError('not a function') });
  const { error: text, uid } = readable({ error, uid: 'x' });
  expect(uid).toBe('x');
  expect(text).toMatch(/^Error: no answer\n {4}at .*log\.test\.ts/);
  expect(text).toMatch(/\ncaused by: TypeError: not a function\n/);
});

test('a fault is told in its own words', () => {
  const error = new Fault('tool', 'Cannot run ip: no such device', { cause: new Error('status 1') });
  expect(readable({ error })).toEqual({ error: 'Cannot run ip: no such device' });
});

test('all else stays as it is', () => {
  const fields = { count: 1, text: 'x', nothing: undefined };
  expect(readable(fields)).toBe(fields);
  expect(readable()).toEqual({});
});
