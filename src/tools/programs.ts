import type { Files } from '../ports/host.ts';

/** Where administrators' programs are, which the PATH of other users often lacks. */
const MORE = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'] as const;

/** A program's file, and what is another when that is. */
export interface ProgramFile {
  /** As it was found. */
  readonly path: string;
  readonly stamp: string;
}

/**
 * The file that a program's name means.
 * @param program - a name, or a path
 * @param path - directories, separated by colons; those of administrators are looked through too
 * @returns undefined where there is none
 */
export async function findProgram(
  files: Pick<Files, 'firstFile'>,
  path: string,
  program: string,
): Promise<ProgramFile | undefined> {
  const places = program.includes('/')
    ? [program]
    : [...new Set([...path.split(':'), ...MORE])]
        .filter((directory) => directory.startsWith('/'))
        .map((directory) => `${directory}/${program}`);
  const found = await files.firstFile(places);
  return found && { path: found.path, stamp: `${found.real} ${found.stamp}` };
}
