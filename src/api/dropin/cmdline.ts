import type { Violation } from '../../domain/fault.ts';
import { wordsOf } from '../../domain/kernel-words.ts';
import { shorten } from '../../domain/labels.ts';

/** `--` ends the kernel's own words: what a map holds has no before and after. */
const END = '--';

/**
 * A command line of parameters by name. An empty value is a bare flag; a value
 * with white space is quoted together with its key, since a value's own quotes
 * are a part of it. A map has no order, and clients send it in a new one each
 * time: it is written in that of the keys.
 */
export function cmdlineText(parameters: Readonly<Record<string, string>>): {
  readonly text: string;
  readonly wrong: readonly Violation[];
} {
  const words: string[] = [];
  const wrong: Violation[] = [];
  for (const key of Object.keys(parameters).sort()) {
    const word = wordOf(key, parameters[key] ?? '');
    if (typeof word === 'string') words.push(word);
    else wrong.push({ field: `kernel.cmdline[${shorten(key)}]`, description: word.wrong });
  }
  return { text: words.join(' '), wrong };
}

function wordOf(key: string, value: string): string | { readonly wrong: string } {
  if (key === '' || /[\s"=]/.test(key))
    return { wrong: 'the name of a parameter must not be empty nor have white space, quotes or "=" in it' };
  if (key === END) return { wrong: 'is no parameter: what follows it has no place in a map' };
  const plain = value === '' ? key : `${key}=${value}`;
  const isWhole = (value.match(/"/g)?.length ?? 0) % 2 === 0;
  if (isWhole && wordsOf(plain).length === 1 && !/\s$/.test(plain)) return plain;
  if (!value.includes('"')) return `"${plain}"`;
  return {
    wrong: `"${shorten(value)}" must have its white space between a pair of double quotes, or no quotes at all`,
  };
}

/** The other way. Of a key that stands there twice the last is shown: Linux takes that, too, of most. */
export function cmdlineMap(text: string): Record<string, string> {
  const parameters: [string, string][] = [];
  const words = wordsOf(text);
  const end = words.indexOf(END);
  for (const word of end < 0 ? words : words.slice(0, end)) {
    const plain = word.startsWith('"') ? word.slice(1).replace(/"$/, '') : word;
    const at = plain.indexOf('=');
    parameters.push(at < 0 ? [plain, ''] : [plain.slice(0, at), plain.slice(at + 1)]);
  }
  if (end >= 0) parameters.push([END, words.slice(end + 1).join(' ')]);
  return Object.fromEntries(parameters);
}
