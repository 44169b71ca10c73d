import { asProgram } from '../as-program.ts';

const SOURCES = [
  '../hybrid-vsock.ts',
  'main.ts',
  'config.ts',
  'events.ts',
  'front.ts',
  'guest.ts',
  'landlock.ts',
  'machine.ts',
  'opening.ts',
  'overlay.ts',
  'refusal.ts',
  'shapes.ts',
];

/** How a stand-in misbehaves before it is told of a machine. */
export interface Misbehaviour {
  readonly how?: 'exits' | 'hangs' | 'never-listens' | 'silent' | 'ignores-term';
  /** As it says it: `v53.0`. */
  readonly version?: string;
}

/**
 * Makes a program `cloud-hypervisor` in a directory, that any user may run.
 * @param directory - that every user may enter
 * @returns its path
 */
export const makeStandIn = (directory: string, { how, version }: Misbehaviour = {}): string =>
  asProgram(directory, {
    name: 'cloud-hypervisor',
    directory: import.meta.dirname,
    files: SOURCES,
    environment: { CLOUD_HYPERVISOR_STAND_IN: how, CLOUD_HYPERVISOR_STAND_IN_VERSION: version },
  });
