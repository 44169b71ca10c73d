import { Fault } from '../../domain/fault.ts';
import type { Run, RunLimits } from '../../ports/host.ts';
import { KVM_TRIAL } from './perl.ts';

/** Any but root's that is not a microVM's. */
const NOBODY = '65534';

/**
 * Why an unprivileged user's VMM cannot use KVM here, as a sentence with the remedy; undefined when it can.
 * @throws Fault `tool` where it cannot be tried; `timeout`; the signal's reason
 */
export async function kvmObstacle(
  run: Run,
  limits: Pick<RunLimits, 'signal' | 'timeoutMs'>,
): Promise<string | undefined> {
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
