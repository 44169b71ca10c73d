import type { Check } from '../check.ts';
import { textOf } from '../look.ts';
import { finding } from './finding.ts';

/** KERN_WARNING is 4: what is below it is shown. @see https://docs.kernel.org/core-api/printk-basics.html */
const MOST = 4;

/**
 * Each tap and bridge port makes lines of the kernel, and a serial line holds up who makes them.
 * @see proc(5) /proc/sys/kernel/printk, /proc/consoles
 */
export const kernelConsole: Check = {
  name: 'kernel console',
  async examine(host) {
    const level = Number(((await textOf(host, '/proc/sys/kernel/printk')) ?? '').split(/\s+/)[0] ?? 0);
    const serial = /^(tty(?:S|AMA|USB)\d+)\s/m.exec((await textOf(host, '/proc/consoles')) ?? '')?.[1];
    if (serial === undefined || level <= MOST) return finding('kernel console', 'ok', 'it holds up no create');
    return finding(
      'kernel console',
      'warn',
      `the kernel writes much (level ${level}) to ${serial}, and each create waits for that`,
      'Boot with quiet loglevel=1; until then: sudo dmesg -n 1',
    );
  },
};
