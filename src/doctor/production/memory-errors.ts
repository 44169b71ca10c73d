import type { Check } from '../check.ts';
import { finding } from './finding.ts';

const CONTROLLERS = '/sys/devices/system/edac/mc';

/**
 * Memory that corrects errors makes it hard to flip bits of others by reading one's own.
 * @see https://docs.kernel.org/driver-api/edac.html
 */
export const memoryErrors: Check = {
  name: 'memory errors',
  async examine(host) {
    const there = (await host.files.stat(CONTROLLERS)) ? await host.files.list(CONTROLLERS) : [];
    const controllers = there.map((path) => path.split('/').at(-1) ?? '').filter((name) => /^mc\d+$/.test(name));
    if (controllers.length > 0)
      return finding(
        'memory errors',
        'ok',
        `the kernel watches ${controllers.length} memory controllers that correct them`,
      );
    return finding(
      'memory errors',
      'warn',
      'no memory that corrects errors (ECC) is seen: bits may be flipped from a guest (Rowhammer)',
      'Take a host with ECC memory, load its EDAC driver, or look at dmidecode -t memory',
    );
  },
};
