import { PROVIDERS } from '../../src/vmm/registry.ts';

/** The one whose program Debian has. */
const IN_DEBIAN = 'qemu';

interface Named {
  readonly flag: string;
  readonly variable: string;
}

/** Programs beside that of a provider, by its name. */
const BESIDE: Readonly<Record<string, readonly Named[]>> = {
  firecracker: [{ flag: '--firecracker-jailer-bin', variable: 'FLINTLOCK_TEST_JAILER' }],
};

/** A provider that is tried under KVM. */
export interface Tried {
  /** As a spec names it. */
  readonly name: string;
  /** The flag of the daemon, and the variable that names the program for it; none where the distribution has it. */
  readonly by?: Named;
  /** Other programs that it takes, where they are named. */
  readonly with?: readonly Named[];
  /** Other ways in which a guest of it lives, by name: with which `provider_options`. */
  readonly ways?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Of which there is nothing to be tried on most machines. */
const WAYS = { vsock: { 'qemu.channel': 'vsock' } };

/** All there are. */
export const TRIED: readonly Tried[] = PROVIDERS.map(({ name }) => {
  if (name === IN_DEBIAN) return { name, ways: WAYS };
  const by = { flag: `--${name}-bin`, variable: `FLINTLOCK_TEST_${name.toUpperCase()}` };
  return { name, by, with: BESIDE[name] ?? [] };
});

/** The daemon's flags for those that are there. */
export const flagsFor = (env: Environment): readonly string[] => TRIED.flatMap((one) => flagsOf(one, env));

/** The daemon's flags for one of them, with the programs beside it. */
export const flagsOf = ({ by, with: beside = [] }: Tried, env: Environment): readonly string[] =>
  [...(by ? [by] : []), ...beside].flatMap(({ flag, variable }) => {
    const program = env[variable];
    return program ? [flag, program] : [];
  });

type Environment = Readonly<Record<string, string | undefined>>;
