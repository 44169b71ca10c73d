import { expect, test } from 'vitest';
import { readable } from './log.ts';

test('an error is told with its stack and its causes, whatever writes it', () => {
  const error = new Error('no answer', { cause: new TypeError('not a function', { cause: 'a word' }) });
  const { error: text, uid } = readable({ error, uid: 'x' });
  expect(uid).toBe('x');
  expect(text).toMatch(/^Error: no answer\n {4}at .*log\.test\.ts/);
  expect(text).toMatch(/\ncaused by: TypeError: not a function\n/);
  expect(text).toMatch(/\ncaused by: a word$/);
});

test('errors that cause each other end', () => {
  const error = new Error('a');
  error.cause = error;
  expect(String(readable({ error }).error).match(/Error: a/g)).toHaveLength(5);
});

test('all else stays as it is', () => {
  const fields = { count: 1, text: 'x', nothing: undefined };
  expect(readable(fields)).toBe(fields);
  expect(readable()).toEqual({});
});
