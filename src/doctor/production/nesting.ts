import type { Check } from '../check.ts';
import { textOf } from '../look.ts';
import { finding } from './finding.ts';

/**
 * Guests that are hosts reach much more of KVM's code.
 * @see https://docs.kernel.org/virt/kvm/x86/running-nested-guests.html
 */
export const nesting: Check = {
  name: 'nested guests',
  async examine(host) {
    for (const module of ['kvm_intel', 'kvm_amd']) {
      const value = await textOf(host, `/sys/module/${module}/parameters/nested`);
      if (value === 'Y' || value === '1')
        return finding(
          'nested guests',
          'warn',
          `${module} lets guests be hosts, which gives them more of the kernel to attack`,
          `echo "options ${module} nested=0" | sudo tee /etc/modprobe.d/flintlock-nested.conf, and load the module anew`,
        );
    }
    return finding('nested guests', 'ok', 'guests cannot be hosts');
  },
};
