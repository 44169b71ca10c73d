import type { Check } from '../check.ts';
import { textOf } from '../look.ts';
import { finding } from './finding.ts';

/** Words of the host's command line that take protection away. @see https://docs.kernel.org/admin-guide/kernel-parameters.html */
const WEAKENING =
  /^(?:mitigations=off|nopti|pti=off|nospectre_v[12]|spectre_v2=off|spec_store_bypass_disable=off|l1tf=off|mds=off|tsx=on|nokaslr|nosmep|nosmap|kvm(?:-intel|-amd)?\.[a-z_]*mitigation[a-z_]*=(?:off|never)|kvm-intel\.vmentry_l1d_flush=never)$/;

/**
 * What a program that got out of its VMM could read of the kernel, or have run in it.
 * @see https://docs.kernel.org/admin-guide/sysctl/kernel.html
 * @see https://docs.kernel.org/admin-guide/sysctl/vm.html unprivileged_userfaultfd
 */
const SYSCTLS = [
  { name: 'kernel.dmesg_restrict', least: 1 },
  { name: 'kernel.kptr_restrict', least: 1 },
  { name: 'kernel.unprivileged_bpf_disabled', least: 1 },
  { name: 'net.core.bpf_jit_harden', least: 1 },
] as const;

export const kernelSettings: Check = {
  name: 'kernel settings',
  async examine(host) {
    const words = ((await textOf(host, '/proc/cmdline')) ?? '').split(/\s+/).filter((word) => WEAKENING.test(word));
    if (words.length > 0)
      return finding(
        'kernel settings',
        'fail',
        `the host was booted with ${words.join(' ')}`,
        'Take these words out of the kernel command line (GRUB_CMDLINE_LINUX), and reboot',
      );
    const low: string[] = [];
    for (const { name, least } of SYSCTLS) {
      const value = await textOf(host, `/proc/sys/${name.replaceAll('.', '/')}`);
      if (value !== undefined && Number(value) < least) low.push(`${name}=${least}`);
    }
    if (low.length === 0) return finding('kernel settings', 'ok', 'nothing that protects was turned off');
    return finding(
      'kernel settings',
      'warn',
      `what gets out of a VMM learns more of the kernel than it must`,
      `sudo sysctl -w ${low.join(' ')}, and the same lines in /etc/sysctl.d/60-flintlock.conf`,
    );
  },
};
