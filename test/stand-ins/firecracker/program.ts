import { asProgram } from '../as-program.ts';

const SOURCES = [
  '../hybrid-vsock.ts',
  'main.ts',
  'guest.ts',
  'http.ts',
  'json.ts',
  'machine.ts',
  'mmds.ts',
  'shapes.ts',
  'tap.ts',
];

/** How a stand-in misbehaves before it is told of a machine. */
export interface Misbehaviour {
  readonly how?: 'exits' | 'hangs' | 'never-listens' | 'silent';
  readonly version?: string;
}

/**
 * Makes a program `firecracker` in a directory, that any user may run.
 * @param directory - that every user may enter
 * @returns its path
 */
export const makeStandIn = (directory: string, { how, version }: Misbehaviour = {}): string =>
  asProgram(directory, {
    name: 'firecracker',
    directory: import.meta.dirname,
    files: SOURCES,
    environment: { FIRECRACKER_STAND_IN: how, FIRECRACKER_STAND_IN_VERSION: version },
  });
