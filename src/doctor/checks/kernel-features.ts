import type { Check, CheckHost, Result } from '../check.ts';
import { ask, textOf, whereIs, whoAmI } from '../look.ts';

interface Feature {
  readonly name: string;
  readonly module: string;
  /** Uses it for real. It runs in a network namespace of its own, which ends with it. */
  readonly probe: readonly [string, ...string[]];
  readonly input?: string;
  /** What needs it, where that is not every network. */
  readonly only?: string;
}

const RULES = `table inet probe {
  map to { type inet_proto . inet_service : ipv4_addr . inet_service; }
  set rates { type mark; size 65535; flags dynamic,timeout; timeout 1m; }
  chain nat { type nat hook postrouting priority 100; masquerade; }
  chain lead { type nat hook prerouting priority -100; fib daddr type local dnat ip to meta l4proto . th dport map @to; }
  chain input { type filter hook input priority 0; ct state new update @rates { meta mark limit rate over 5/second } drop; }
}
table bridge probe {
  set ports { type ifname . ether_addr; }
  chain forward { type filter hook forward priority 0; iifname . ether saddr @ports accept; }
}
`;

const FEATURES: readonly Feature[] = [
  { name: 'kernel: tun', module: 'tun', probe: ['ip', 'tuntap', 'add', 'dev', 'probe', 'mode', 'tap'] },
  { name: 'kernel: bridge', module: 'bridge', probe: ['ip', 'link', 'add', 'probe', 'type', 'bridge'] },
  {
    ...{ name: 'kernel: macvtap', module: 'macvtap', probe: ['ip', '-batch', '-'], only: '--parent-iface' },
    input: 'link add probe0 type bridge\nlink add link probe0 name probe1 type macvtap mode bridge\n',
  },
  {
    ...{ name: 'kernel: veth', module: 'veth', only: 'trying the ways of guests' },
    probe: ['ip', 'link', 'add', 'probe0', 'type', 'veth', 'peer', 'name', 'probe1'],
  },
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

async function tried(host: CheckHost, { name, module, probe, input, only }: Feature): Promise<Result> {
  const { ok, text } = await ask(host, ['unshare', '--net', ...probe], input);
  if (ok) return { name, status: 'ok', found: 'works (tried in a namespace of its own)', fix: '' };
  const missing = /is not installed/.test(text);
  const fix = missing ? 'Install the tool that is named' : await kernelFix(host, module);
  const found = only === undefined ? `does not work: ${text}` : `does not work (needed for ${only} only): ${text}`;
  return { name, status: only === undefined ? 'fail' : 'warn', found, fix };
}

/** A kernel that was upgraded has taken the modules of the one that runs along. */
async function kernelFix(host: CheckHost, module: string): Promise<string> {
  const release = (await textOf(host, '/proc/sys/kernel/osrelease')) ?? '';
  const there = await host.files.list('/lib/modules');
  if (release !== '' && there.length > 0 && !there.includes(release))
    return `The modules of the running kernel ${release} are not on this host (those of ${there.join(', ')} are): reboot`;
  return `sudo modprobe ${module}; where that fails, boot a kernel that has it (Debian's linux-image-amd64 has)`;
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
