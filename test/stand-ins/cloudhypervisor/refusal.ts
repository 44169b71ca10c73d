import { fstatSync, readSync } from 'node:fs';
import { type Fields, wrongIn } from './shapes.ts';

/** An answer that refuses: its chain of words, outermost first. */
export class Refusal extends Error {
  readonly status: number;
  readonly chain: readonly string[];
  constructor(status: number, ...chain: string[]) {
    super(chain.join(': '));
    this.status = status;
    this.chain = chain;
  }
}

/** What serde reads. @throws Refusal 400 */
export function parse(text: string, shape: Fields): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal(400, 'Failed to deserialize JSON', 'expected value at line 1 column 1');
  }
  const wrong = wrongIn(value, shape);
  if (wrong !== undefined) throw new Refusal(400, 'Failed to deserialize JSON', wrong);
  return value;
}

/** By the magic of the boot protocol. */
export function isBzImage(fd: number): boolean {
  if (fstatSync(fd).size < 0x206) return false;
  const magic = Buffer.alloc(4);
  readSync(fd, magic, 0, 4, 0x202);
  return magic.toString('latin1') === 'HdrS';
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory (os error 2)',
  EACCES: 'Permission denied (os error 13)',
  EADDRINUSE: 'Address in use (os error 98)',
  EISDIR: 'Is a directory (os error 21)',
};
/** As Rust says it. */
export const osError = (error: unknown): string =>
  error instanceof Error && 'code' in error ? (WORDS[String(error.code)] ?? error.message) : String(error);
