import type { Check } from '../check.ts';
import { textOf } from '../look.ts';
import { finding } from './finding.ts';

/**
 * Pages that are the same are made one: by the time that a write takes, one guest tells what another has.
 * @see https://docs.kernel.org/admin-guide/mm/ksm.html `run`: 0 is off, 1 on, 2 off with all pages unmerged
 */
export const pageSharing: Check = {
  name: 'page sharing',
  async examine(host) {
    const value = await textOf(host, '/sys/kernel/mm/ksm/run');
    if (value === undefined) return finding('page sharing', 'ok', 'this kernel has no KSM');
    if (value !== '1') return finding('page sharing', 'ok', 'KSM is off');
    return finding(
      'page sharing',
      'fail',
      'KSM is on: guests can tell what others have in memory',
      'echo 2 | sudo tee /sys/kernel/mm/ksm/run, and turn off what turns it on (ksmtuned, ksm.service)',
    );
  },
};
