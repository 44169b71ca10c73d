import { errorMessage } from '../../base/error-text.ts';
import { EXIT, Problem } from '../exit.ts';
import { type Entry, FileProblem } from './tree.ts';

/** What has the name of a file that is to be written, and is not replaced by it. */
export const IN_THE_WAY: Readonly<Record<Entry['type'], string>> = {
  directory: 'there is a directory of that name',
  fifo: 'there is a pipe of that name',
  character: 'there is a device of that name',
  block: 'there is a device of that name',
  socket: 'there is a socket of that name',
  other: 'there is something else of that name',
  file: '',
  symlink: '',
};

const ENDS_ALL = ['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'EROFS'];
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  ENOTDIR: 'a part of its path is no directory, or a link',
  ELOOP: 'a part of its path is a link',
  EACCES: 'permission denied',
  EPERM: 'it is not permitted',
  EISDIR: 'it is a directory',
  EEXIST: 'there is a file of that name',
  ENOTEMPTY: 'there is a directory of that name',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of the disk is used up',
  ENAMETOOLONG: 'its name is too long',
};

/** Of an error of Node's about a file. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

/** What the user is told of an error about a file of this machine. What concerns more than this file ends the copy. */
export function problemOf(what: string, error: unknown): unknown {
  if (error instanceof Problem) return error;
  const code = codeOf(error);
  if (code === undefined && !(error instanceof Error && error.constructor === Error)) return error;
  // Node says the path again, which is one of /proc.
  const words = WORDS[code ?? ''] ?? errorMessage(error).replace(/, [a-z]+ '.*$/s, '');
  return code !== undefined && ENDS_ALL.includes(code)
    ? new Problem(EXIT.failed, `${what}: ${words}`, { cause: error })
    : new FileProblem(`${what}: ${words}`, error);
}
