import { virtualisationOf } from '../../tools/virtualisation.ts';
import type { Check, Result } from '../check.ts';
import { may, textOf } from '../look.ts';

/** KVM where the CPU really virtualises, else software emulation: it works, and is many times slower. */
export const acceleration: Check = {
  name: 'acceleration',
  async examine(host) {
    const emulated = (why: string, fix: string): Result[] => [
      { name: 'acceleration', status: 'warn', found: `software emulation (tcg), slower: ${why}`, fix },
    ];
    const cpuinfo = (await textOf(host, '/proc/cpuinfo')) ?? '';
    const virtualises = virtualisationOf(cpuinfo);
    const nested = /^flags\s*:.*\bhypervisor\b/m.test(cpuinfo);
    const device = await host.files.stat('/dev/kvm');
    if (virtualises === undefined)
      return emulated(
        `the CPU shows neither vmx nor svm${device ? ', although /dev/kvm is there' : ''}`,
        nested
          ? 'This host is itself a VM: turn on nested virtualisation at its hypervisor (or take another type of instance)'
          : 'Turn on virtualisation (VT-x, AMD-V) in the firmware',
      );
    if (!device)
      return emulated(
        `the CPU has ${virtualises}, but there is no /dev/kvm`,
        `sudo modprobe ${virtualises === 'vmx' ? 'kvm_intel' : 'kvm_amd'}; if that fails the firmware has it turned off (see dmesg)`,
      );
    if (!((await may(host, 'r', '/dev/kvm')) && (await may(host, 'w', '/dev/kvm'))))
      return emulated('this user may not open /dev/kvm', 'Run the daemon with sudo, or: sudo usermod -aG kvm "$USER"');
    return [{ name: 'acceleration', status: 'ok', found: `KVM (${virtualises}, /dev/kvm)`, fix: '' }];
  },
};
