import { expect, test } from 'vitest';
import { wordsOf } from './kernel-words.ts';

test.each([
  ['', []],
  ['  a\tb  ', ['a', 'b']],
  ['a="b c" "d=e f" g', ['a="b c"', '"d=e f"', 'g']],
  ['a="b c', ['a="b c']],
])('%j has the words that Linux sees', (text, words) => {
  expect(wordsOf(text)).toEqual(words);
});
