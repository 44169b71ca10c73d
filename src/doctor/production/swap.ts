import type { Check, CheckHost } from '../check.ts';
import { textOf } from '../look.ts';
import { finding } from './finding.ts';

/** What guests have in memory stays readable on a disk that it was swapped to. */
export const swap: Check = {
  name: 'swap',
  async examine(host) {
    const [, ...lines] = ((await textOf(host, '/proc/swaps')) ?? '').split('\n');
    const areas = lines.flatMap((line) => line.split(/\s+/)[0] || []);
    const open: string[] = [];
    for (const area of areas) if (!(await isSafe(host, area))) open.push(area);
    if (open.length > 0)
      return finding(
        'swap',
        'fail',
        `memory of guests may be written to ${open.join(', ')}`,
        'sudo swapoff -a and take it out of /etc/fstab, or put it on an encrypted device',
      );
    return finding(
      'swap',
      'ok',
      areas.length === 0 ? 'there is none' : `only ${areas.join(', ')}, which keeps nothing`,
    );
  },
};

/**
 * Whether what is there is gone with the power, or encrypted.
 * @see https://docs.kernel.org/admin-guide/blockdev/zram.html
 * @see cryptsetup(8): the UUIDs that it gives devices of device-mapper begin with CRYPT-
 */
async function isSafe(host: CheckHost, area: string): Promise<boolean> {
  const name = area.split('/').at(-1) ?? '';
  if (/^zram\d+$/.test(name)) return ((await textOf(host, `/sys/block/${name}/backing_dev`)) ?? 'none') === 'none';
  if (!/^dm-\d+$/.test(name)) return false;
  return ((await textOf(host, `/sys/block/${name}/dm/uuid`)) ?? '').startsWith('CRYPT-');
}
