/** How tools write a control character: `\n`, `\x0a`, `\u000a`, `\012`. A letter behind `\n` makes it part of a name. */
const ESCAPED = /\\(?:[nrt](?![a-z])|x[01][0-9a-f]|x7f|u00[01][0-9a-f]|u007f|0[0-3][0-7]|177)/gi;
const MAX_CHARACTERS = 2_000;

/**
 * A text for people to read in one line, whoever wrote it: blanks, control
 * characters and what tools write in their place become one blank.
 */
export function oneLine(text: string, max = MAX_CHARACTERS): string {
  const one = text
    .replace(ESCAPED, ' ')
    .replace(/[\s\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
  return one.length > max ? `${one.slice(0, max - 3)}...` : one;
}
