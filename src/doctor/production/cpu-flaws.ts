import type { Check, CheckHost } from '../check.ts';
import { textOf } from '../look.ts';
import { finding } from './finding.ts';

const DIRECTORY = '/sys/devices/system/cpu/vulnerabilities';
/** Of the running microcode itself, not of a flaw. @see the kernel's Documentation/admin-guide/hw-vuln/old_microcode.rst */
const MICROCODE = 'old_microcode';
const PACKAGE =
  "Install the CPU maker's microcode (intel-microcode or amd64-microcode) and the newest firmware, and reboot";

/**
 * What the kernel knows of the CPU's flaws, and of what is done about them.
 * @see https://docs.kernel.org/admin-guide/hw-vuln/index.html
 */
export const cpuFlaws: Check = {
  name: 'CPU flaws',
  async examine(host) {
    const flaws = await flawsOf(host);
    if (flaws.length === 0)
      return finding('CPU flaws', 'warn', 'the kernel tells nothing of them', 'Boot a newer kernel (4.15 or later)');
    const open = flaws.filter(({ name, says }) => name !== MICROCODE && isOpen(says));
    if (open.length === 0) return finding('CPU flaws', 'ok', `${flaws.length} are known, none is left open`);
    const words = open.map(({ name, says }) => `${name} (${says})`).join(', ');
    const fix = /microcode/i.test(words) ? PACKAGE : `${PACKAGE}; do not boot with mitigations=off`;
    return finding('CPU flaws', 'fail', `left open: ${words}`, fix);
  },
};

export const microcode: Check = {
  name: 'microcode',
  async examine(host) {
    const says = await textOf(host, `${DIRECTORY}/${MICROCODE}`);
    if (says === undefined)
      return finding(
        'microcode',
        'warn',
        'this kernel does not tell whether it is old',
        `${PACKAGE} when there is one`,
      );
    if (isOpen(says)) return finding('microcode', 'fail', 'it is older than what the kernel asks for', PACKAGE);
    return finding('microcode', 'ok', 'it is none that the kernel calls old');
  },
};

async function flawsOf(host: CheckHost): Promise<readonly { readonly name: string; readonly says: string }[]> {
  if ((await host.files.stat(DIRECTORY)) === undefined) return [];
  const names = (await host.files.list(DIRECTORY)).map((path) => path.split('/').at(-1) ?? '');
  const flaws = names.map(async (name) => ({ name, says: (await textOf(host, `${DIRECTORY}/${name}`)) ?? '' }));
  return Promise.all(flaws);
}

/** `Vulnerable: …`, `KVM: Vulnerable`, and mitigations of which a part is missing: `…; SMT vulnerable`. */
const isOpen = (says: string): boolean => /\bvulnerable\b/i.test(says);
