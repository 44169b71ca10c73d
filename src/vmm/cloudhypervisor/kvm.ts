import { Fault } from '../../domain/fault.ts';
import type { Files, Run, RunLimits } from '../../ports/host.ts';
import { virtualisationOf } from '../../tools/virtualisation.ts';
import { KVM_TRIAL } from './perl.ts';

/** Any but root's that is not a microVM's. */
const NOBODY = '65534';

/** What is believed of /dev/kvm: what is found by trying, or that it serves these guests. */
export const KVM_CHOICES = ['auto', 'trust'] as const;
export type KvmChoice = (typeof KVM_CHOICES)[number];

const NO_VIRTUALISATION =
  "the CPU does not virtualise here, neither vmx nor svm is among its flags: turn it on in the firmware, have this host's own host nest, or if this KVM needs neither, give --cloudhypervisor-kvm trust";

/**
 * Why an unprivileged user's VMM cannot use KVM here, as a sentence with the remedy; undefined when it can.
 * @param choice - `trust`: it is not tried
 * @throws Fault `tool` where it cannot be tried; `timeout`; the signal's reason
 */
export async function kvmObstacle(
  { run, files }: { readonly run: Run; readonly files: Pick<Files, 'read'> },
  choice: KvmChoice,
  limits: Pick<RunLimits, 'signal' | 'timeoutMs'>,
): Promise<string | undefined> {
  if (choice === 'trust') return undefined;
  const cpuinfo = Buffer.from((await files.read('/proc/cpuinfo')) ?? []).toString();
  if (virtualisationOf(cpuinfo) === undefined) return NO_VIRTUALISATION;
  const told = (await run(['perl', '-e', KVM_TRIAL, '--', NOBODY], limits)).trim();
  const [word = '', ...why] = told.split(' ');
  switch (word) {
    case 'ok':
      return undefined;
    case 'absent':
      return 'there is no /dev/kvm: load kvm_intel or kvm_amd, on a CPU that virtualises';
    case 'closed':
      return `an unprivileged user may not open /dev/kvm (${why.join(' ')}), as which guests run: let a group do it (chgrp kvm /dev/kvm && chmod 0660 /dev/kvm)`;
    case 'useless':
      return `/dev/kvm makes no virtual machine here: ${why.join(' ')}. Does the CPU virtualise, and is that on in the firmware, or for this nested host?`;
    default:
      throw new Fault('tool', `Cannot try /dev/kvm: perl says ${JSON.stringify(told.slice(0, 80))}`);
  }
}
