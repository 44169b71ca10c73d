import type { Check, CheckHost, Result } from '../check.ts';
import { ask, whereIs, whoAmI } from '../look.ts';

interface Feature {
  readonly name: string;
  readonly module: string;
  /** Uses it for real. It runs in a network namespace of its own, which ends with it. */
  readonly probe: readonly [string, ...string[]];
  readonly input?: string;
}

const RULES = `table inet probe {
  chain nat { type nat hook postrouting priority 100; masquerade; }
}
table bridge probe {
  set ports { type ifname . ether_addr; }
  chain forward { type filter hook forward priority 0; iifname . ether saddr @ports accept; }
}
`;

const FEATURES: readonly Feature[] = [
  { name: 'kernel: tun', module: 'tun', probe: ['ip', 'tuntap', 'add', 'dev', 'probe', 'mode', 'tap'] },
  { name: 'kernel: bridge', module: 'bridge', probe: ['ip', 'link', 'add', 'probe', 'type', 'bridge'] },
  { name: 'kernel: nf_tables', module: 'nf_tables', probe: ['nft', '-f', '-'], input: RULES },
];

/** What the kernel must be able to do for the network. */
export const kernelFeatures: Check = {
  name: 'kernel',
  async examine(host) {
    const { root } = await whoAmI(host);
    return Promise.all(FEATURES.map((feature) => (root ? tried(host, feature) : guessed(host, feature))));
  },
};

async function tried(host: CheckHost, { name, module, probe, input }: Feature): Promise<Result> {
  const { ok, text } = await ask(host, ['unshare', '--net', ...probe], input);
  if (ok) return { name, status: 'ok', found: 'works (tried in a namespace of its own)', fix: '' };
  const missing = /is not installed/.test(text);
  const fix = missing
    ? 'Install the tool that is named'
    : `sudo modprobe ${module}; where that fails, boot a kernel that has it (Debian's linux-image-amd64 has)`;
  return { name, status: 'fail', found: `does not work: ${text}`, fix };
}

/** Without root nothing can be tried: whether the module is loaded, or can be. */
async function guessed(host: CheckHost, { name, module }: Feature): Promise<Result> {
  if (await host.files.stat(`/sys/module/${module}`)) return { name, status: 'ok', found: 'is loaded', fix: '' };
  const modprobe = await whereIs(host, 'modprobe');
  if (modprobe && (await ask(host, [modprobe, '--dry-run', '--quiet', module])).ok)
    return { name, status: 'ok', found: 'can be loaded', fix: '' };
  const found = `cannot tell whether ${module} is there: it is not loaded`;
  return { name, status: 'warn', found, fix: 'Try for real: sudo flintlock doctor' };
}
