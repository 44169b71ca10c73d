import type { Sink } from '../io.ts';

export type Colour = 'green' | 'yellow' | 'red' | 'bold' | 'dim';
/** SGR parameters, ECMA-48 8.3.117. */
const SGR: Readonly<Record<Colour, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 };

export const paint = (text: string, colour: Colour | undefined, on: boolean): string =>
  on && colour && text !== '' ? `\x1b[${SGR[colour]}m${text}\x1b[0m` : text;

/** Only on a terminal that can, and never where NO_COLOR is set to anything. @see https://no-color.org */
export function mayColour(sink: Sink, env: Readonly<Record<string, string | undefined>>): boolean {
  return sink.isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
}

/**
 * Makes control characters visible: what a guest or a daemon wrote may not move the user's cursor.
 * @param keepNewlines - for text of several lines
 */
export function printable(text: string, keepNewlines = false): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (c) =>
    keepNewlines && (c === '\n' || c === '\t') ? c : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
