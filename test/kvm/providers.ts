import { PROVIDERS } from '../../src/vmm/registry.ts';

/** The one whose program Debian has. */
const IN_DEBIAN = 'qemu';

/** A provider that is tried under KVM. */
export interface Tried {
  /** As a spec names it. */
  readonly name: string;
  /** The flag of the daemon, and the variable that names the program for it; none where the distribution has it. */
  readonly by?: { readonly flag: string; readonly variable: string };
}

/** All there are. */
export const TRIED: readonly Tried[] = PROVIDERS.map(({ name }) => {
  if (name === IN_DEBIAN) return { name };
  return { name, by: { flag: `--${name}-bin`, variable: `FLINTLOCK_TEST_${name.toUpperCase()}` } };
});

/** The daemon's flags for those that are there. */
export function flagsFor(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return TRIED.flatMap(({ by }) => {
    const program = by && env[by.variable];
    return by && program ? [by.flag, program] : [];
  });
}
