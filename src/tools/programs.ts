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
  files: Pick<Files, 'realPath' | 'stat'>,
  path: string,
  program: string,
): Promise<ProgramFile | undefined> {
  const places = program.includes('/')
    ? [program]
    : [...new Set([...path.split(':'), ...MORE])]
        .filter((directory) => directory.startsWith('/'))
        .map((directory) => `${directory}/${program}`);
  for (const place of places) {
    const real = await files.realPath(place).catch(() => undefined); // a directory that may not be searched
    const info = real === undefined ? undefined : await files.stat(real);
    if (info?.kind === 'file') return { path: place, stamp: `${real} ${info.stamp ?? ''}` };
  }
  return undefined;
}
