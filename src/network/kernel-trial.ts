import { Fault } from '../domain/fault.ts';
import { oneLine } from '../domain/one-line.ts';
import type { Files, Run } from '../ports/host.ts';
import { firewallRules } from './firewall.ts';
import { guardsRules } from './guards.ts';
import { kernelRemedy } from './kernel-lacks.ts';
import { macvtapPathRules } from './macvtap-path.ts';
import { macvtapGuard, macvtapGuards } from './macvtaps.ts';
import { metadataRules } from './metadata-paths.ts';
import { publishingRules } from './published.ts';

/** A kind of thing of the kernel's that the network is made of. */
export interface KernelPart {
  /** `kernel: bridge`. */
  readonly name: string;
  readonly module: string;
  /** What needs it, where that is not every network. */
  readonly only?: string;
  /** Commands for `ip -batch`. */
  readonly links: readonly string[];
  /** For `nft -f`, after them. */
  readonly rules?: string;
}

const [TABLE, BRIDGE, ADDRESS, CIDR] = ['trial', 'trial0', '10.77.0.1', '10.77.0.0/24'];
const [MACVTAP, SERVICE] = ['trial1', 'trial2'];
const path = { table: `${TABLE}_metadata`, address: ADDRESS, routes: 1_000 };

/** Each with the very rules that the daemon writes: another expression is another module, or a newer kernel. */
export const KERNEL_PARTS = {
  tun: { name: 'kernel: tun', module: 'tun', links: [`tuntap add dev ${BRIDGE} mode tap`] },
  bridge: { name: 'kernel: bridge', module: 'bridge', links: [`link add ${BRIDGE} type bridge`] },
  macvtap: {
    ...{ name: 'kernel: macvtap', module: 'macvtap', only: '--parent-iface' },
    links: [
      `link add ${BRIDGE} type bridge`,
      `link add link ${BRIDGE} name ${MACVTAP} type macvtap mode bridge`,
      `link add link ${BRIDGE} name ${SERVICE} type macvlan mode bridge`,
    ],
    rules:
      macvtapGuards(TABLE) +
      macvtapGuard({
        ...{ device: MACVTAP, parent: BRIDGE, alias: '', table: TABLE, node: '' },
        ...{ mac: '52:54:00:00:00:01', address: '192.0.2.2' },
      }) +
      macvtapPathRules({ ...path, table: TABLE, device: SERVICE, parent: BRIDGE, alias: '' }),
  },
  veth: {
    ...{ name: 'kernel: veth', module: 'veth', only: 'trying the ways of guests' },
    links: ['link add trial3 type veth peer name trial4'],
  },
  firewall: {
    ...{ name: 'kernel: nf_tables', module: 'nf_tables', links: [] },
    rules:
      firewallRules({ table: TABLE, bridge: BRIDGE, cidr: CIDR }) +
      guardsRules({ table: TABLE, prefix: 'trial' }) +
      publishingRules({ table: TABLE, bridge: BRIDGE, cidr: CIDR }) +
      metadataRules({ ...path, prefix: 'trial', bridge: BRIDGE }),
  },
} as const satisfies Readonly<Record<string, KernelPart>>;

export type PartVerdict =
  | { readonly is: 'works' }
  | { readonly is: 'lacks'; readonly found: string; readonly remedy: string }
  /** There can be no namespace here, or there is no tool: of the kernel nothing is known. */
  | { readonly is: 'untried'; readonly found: string };

/** Busy hosts take seconds to take a namespace away. */
const TRIAL_MS = 60_000;
/** What never came to the kernel: there is no namespace, or no such tool, or one that does not understand us. */
const NOT_ASKED =
  /unshare: |: not found|is not installed|Usage: |(?:unrecognized|invalid|unknown) option|syntax error/i;
const SCRIPT = `
[ -z "$1" ] || printf '%s\\n' "$1" | ip -batch - || exit
[ -z "$2" ] || printf '%s\\n' "$2" | nft -f -`;

/**
 * Makes one for real, in a network namespace that ends with it: nothing of the
 * host is met. The kernel loads what it has as a module, as it would later.
 *
 * @throws the signal's reason
 */
export async function tryKernelPart(
  { module, links, rules = '' }: KernelPart,
  {
    run,
    files,
    signal,
  }: { readonly run: Run; readonly files: Pick<Files, 'read' | 'list'>; readonly signal: AbortSignal },
): Promise<PartVerdict> {
  try {
    const argv = ['unshare', '--net', '--', 'sh', '-c', SCRIPT, 'sh', links.join('\n'), rules] as const;
    await run(argv, { signal, timeoutMs: TRIAL_MS });
    return { is: 'works' };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Fault)) throw error;
    const found = oneLine(error.message);
    if (error.kind !== 'tool' || NOT_ASKED.test(found)) return { is: 'untried', found };
    return {
      is: 'lacks',
      found: /Error: .{1,200}/.exec(found)?.[0] ?? found,
      remedy: await kernelRemedy(files, module),
    };
  }
}
