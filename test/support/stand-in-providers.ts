import { makeStandIn as makeCloudHypervisor } from '../stand-ins/cloudhypervisor/program.ts';
import { makeStandIn as makeFirecracker } from '../stand-ins/firecracker/program.ts';
import { makeJailer } from '../stand-ins/jailer/program.ts';
import type { HostOptions } from './daemon.ts';
import { pretendKvm } from './pretend-kvm.ts';

/**
 * Providers that have a stand-in, by name: how it is made, and flags beside the one that names it: what is believed of the CPU, which
 * is the machine's, and the jailer beside it. `macvtap`: whether it takes such interfaces.
 */
export const STAND_INS = [
  {
    name: 'firecracker',
    make: makeFirecracker,
    more: (directory: string) => [
      ...['--firecracker-kvm', 'trust', '--firecracker-jail', 'on', '--firecracker-jailer-bin', makeJailer(directory)],
    ],
    macvtap: false,
  },
  {
    name: 'cloudhypervisor',
    make: makeCloudHypervisor,
    more: () => ['--cloudhypervisor-kvm', 'trust'],
    macvtap: true,
  },
] as const;

/** A host on which these can be used, all of them. */
export interface StandInHost {
  /** To be added to those of the host. */
  readonly flags: readonly string[];
  /** Where their programs are. */
  readonly directory: string;
  readonly options: Required<Pick<HostOptions, 'env' | 'ownMounts' | 'prepare'>>;
  remove(): void;
}

/** The caller removes it when the host is closed. */
export function standInHost(): StandInHost {
  const { directory, options, remove } = pretendKvm();
  const flags = STAND_INS.flatMap(({ name, make, more }) => [`--${name}-bin`, make(directory), ...more(directory)]);
  return { flags, directory, options, remove };
}
