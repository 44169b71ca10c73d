/** Splits a kernel's command line as Linux does: at white space outside of double quotes (lib/cmdline.c, next_arg). */
export function wordsOf(cmdline: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let quoted = false;
  for (const char of cmdline) {
    if (char === '"') quoted = !quoted;
    if (/\s/.test(char) && !quoted) {
      if (word) words.push(word);
      word = '';
    } else word += char;
  }
  if (word) words.push(word);
  return words;
}
