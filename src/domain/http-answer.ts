import type { HttpQuestion } from './health.ts';
import { oneLine } from './one-line.ts';

/** Of all heads of one answer: more is no answer that a check waits for. */
const MAX_HEAD = 32 << 10;
const STATUS_LINE = /^HTTP\/1\.[01] ([1-9]\d\d)(?: (.*))?$/;
const SAID = 80;

/** The bytes of a GET. What they are made of has been checked. */
export function httpRequest({ port, path, headers }: HttpQuestion): string {
  const given = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const own = { Host: `localhost:${port}`, 'User-Agent': 'flintlock-health-check', Accept: '*/*' };
  const lines = [
    `GET ${path} HTTP/1.1`,
    ...Object.entries(own).flatMap(([name, value]) => (given.has(name.toLowerCase()) ? [] : [`${name}: ${value}`])),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    'Connection: close',
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

export type HttpStatus = Readonly<{ is: 'status'; code: number; words: string } | { is: 'no http'; said: string }>;

/** Reads what a server answers as far as its status: that of the final answer, behind those that only say "go on". */
export class HttpAnswer {
  #text = '';
  #taken = 0;

  /** @returns undefined: it is not all there yet */
  push(bytes: Uint8Array): HttpStatus | undefined {
    this.#taken += bytes.length;
    for (const byte of bytes.subarray(0, MAX_HEAD)) this.#text += String.fromCharCode(byte);
    for (;;) {
      const end = this.#text.indexOf('\n');
      if (end < 0 && this.#taken <= MAX_HEAD) return undefined;
      const match = STATUS_LINE.exec(this.#text.slice(0, Math.max(end, 0)).replace(/\r$/, ''));
      if (!match) return this.noHttp();
      const [, code = '', words = ''] = match;
      if (!code.startsWith('1') || code === '101')
        return { is: 'status', code: Number(code), words: oneLine(words.slice(0, SAID)) };
      const next = /\r?\n\r?\n/.exec(this.#text);
      if (!next) return this.#taken <= MAX_HEAD ? undefined : this.noHttp();
      this.#text = this.#text.slice(next.index + next[0].length);
    }
  }

  /** What has come, where no more does. */
  noHttp(): HttpStatus {
    return { is: 'no http', said: oneLine(this.#text.slice(0, SAID).replace(/[^\x20-\x7e]/g, ' ')) };
  }
}
