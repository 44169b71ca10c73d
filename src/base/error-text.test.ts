import { expect, test } from 'vitest';
import { errorMessage, errorTrace } from './error-text.ts';

test('of what was thrown a sentence has the message', () => {
  expect(errorMessage(new TypeError('no function'))).toBe('no function');
  expect(['a word', undefined, 7].map(errorMessage)).toEqual(['a word', 'undefined', '7']);
});

test('a trace has the stack and the causes', () => {
  const error = new Error('no answer', { cause: new TypeError('not a function', { cause: 'a word' }) });
  expect(errorTrace(error)).toMatch(/^Error: no answer\n {4}at .*error-text\.test\.ts/);
  expect(errorTrace(error)).toMatch(/\ncaused by: TypeError: not a function\n/);
  expect(errorTrace(error)).toMatch(/\ncaused by: a word$/);
  expect(errorTrace('a word')).toBe('a word');
});

test('errors that cause each other end', () => {
  const error = new Error('a');
  error.cause = error;
  expect(errorTrace(error).match(/Error: a/g)).toHaveLength(5);
});
