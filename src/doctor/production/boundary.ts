import type { Check } from '../check.ts';
import { acceleration } from '../checks/acceleration.ts';
import { cgroups } from '../checks/cgroups.ts';
import { finding } from './finding.ts';

/**
 * What holds a guest that has taken over its own kernel.
 * @see https://www.qemu.org/docs/master/system/security.html "Non-virtualization Use Case": emulation is no boundary
 */
export const boundary: Check = {
  name: 'boundary',
  async examine(host) {
    const [found] = await acceleration.examine(host);
    if (found?.status === 'ok') return finding('boundary', 'ok', `guests run under ${found.found}`);
    return finding(
      'boundary',
      'fail',
      'guests run under software emulation, which its makers do not call a security boundary',
      found?.fix,
    );
  },
};

/** What keeps one guest from taking the memory and the process table of all. */
export const limits: Check = {
  name: 'limits',
  async examine(host) {
    const [found] = await cgroups.examine(host);
    if (found?.status === 'ok') return finding('limits', 'ok', `each VMM has a cgroup of its own: ${found.found}`);
    return finding('limits', 'fail', found?.found ?? 'there are no cgroups', found?.fix);
  },
};
