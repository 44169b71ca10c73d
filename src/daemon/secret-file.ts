import { readFileSync, statSync } from 'node:fs';
import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';

const MAX_BYTES = 1 << 20;

export interface FileOptions {
  /** As it was asked for: `--tokens-file`. */
  readonly flag: string;
  /** Bits of the mode that must not be set: 0o077 nobody but the owner, 0o007 no others. */
  readonly forbidden: number;
}

/**
 * Reads a file that was named by a flag.
 * @throws Fault `refused` that says what is wrong with it; never what is in it
 */
export function readNamedFile(path: string, { flag, forbidden }: FileOptions): Buffer {
  const wrong = (why: string, cause?: unknown): Fault =>
    new Fault('refused', `Cannot use ${flag} ${path}: ${why}`, cause === undefined ? {} : { cause });
  try {
    const info = statSync(path, { throwIfNoEntry: false });
    if (!info) throw wrong('there is no such file');
    if (!info.isFile()) throw wrong('it is no file');
    if (info.size > MAX_BYTES) throw wrong(`it has over ${MAX_BYTES} bytes`);
    if ((info.mode & forbidden) !== 0) {
      const remedy = `chmod ${forbidden === 0o077 ? '0600' : 'o='} ${path}`;
      throw wrong(`others can read or change it: ${remedy}`);
    }
    return readFileSync(path);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw wrong(errorMessage(cause), cause);
  }
}
