import type { Check } from '../check.ts';
import { textOf } from '../look.ts';
import { finding } from './finding.ts';

/**
 * Two threads of a core share its caches and buffers.
 * @see https://docs.kernel.org/admin-guide/hw-vuln/core-scheduling.html
 */
export const threads: Check = {
  name: 'CPU threads',
  async examine(host) {
    const active = await textOf(host, '/sys/devices/system/cpu/smt/active');
    if (active === undefined)
      return finding(
        'CPU threads',
        'warn',
        'the kernel does not tell whether cores are shared by threads (SMT)',
        'Look at lscpu: one thread per core is what strangers should get',
      );
    if (active !== '1') return finding('CPU threads', 'ok', 'no core is shared by two threads (SMT is off)');
    return finding(
      'CPU threads',
      'fail',
      'SMT is on: guests on two threads of one core can measure each other',
      'Boot with nosmt on the kernel command line; until then: echo off | sudo tee /sys/devices/system/cpu/smt/control',
    );
  },
};
