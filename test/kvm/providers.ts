/** A provider that is tried under KVM. */
export interface Tried {
  /** As a spec names it. */
  readonly name: string;
  /** The flag of the daemon, and the variable that names the program for it; none where the distribution has it. */
  readonly by?: { readonly flag: string; readonly variable: string };
}

export const TRIED: readonly Tried[] = [
  { name: 'qemu' },
  { name: 'firecracker', by: { flag: '--firecracker-bin', variable: 'FLINTLOCK_TEST_FIRECRACKER' } },
  { name: 'cloud-hypervisor', by: { flag: '--cloud-hypervisor-bin', variable: 'FLINTLOCK_TEST_CLOUDHYPERVISOR' } },
];

/** The daemon's flags for those that are there. */
export function flagsFor(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return TRIED.flatMap(({ by }) => {
    const program = by && env[by.variable];
    return by && program ? [by.flag, program] : [];
  });
}
