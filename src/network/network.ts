import type { Clock } from '../ports/clock.ts';
import type { Converse, Files, Follow, Processes, Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type {
  FirewallElements,
  Macvtaps,
  MetadataPaths,
  Network,
  PortGuards,
  Publisher,
  Shares,
  Surroundings,
} from '../ports/network.ts';
import type { NetworkProbe } from '../ports/network-probe.ts';
import type { Wholeness } from '../ports/network-watch.ts';
import { createDhcp } from './dhcp.ts';
import { createElements } from './elements.ts';
import { guard, plain } from './failure.ts';
import { createFirewall } from './firewall.ts';
import { createFlows } from './flows.ts';
import { createGuards } from './guards.ts';
import { createIp } from './ip.ts';
import { kernelExplained } from './kernel-lacks.ts';
import { createLeases } from './leases.ts';
import { createLinks } from './links.ts';
import { createLiving } from './living.ts';
import { type LivingForm, livingIp, livingNft } from './living-forms.ts';
import { createMacvtapPath } from './macvtap-path.ts';
import { createMacvtaps } from './macvtaps.ts';
import { createMetadataPaths } from './metadata-paths.ts';
import { createMtus } from './mtu.ts';
import { createNft } from './nft.ts';
import { createProbe } from './probe.ts';
import { createPublisher } from './published.ts';
import { createResolvers } from './resolvers.ts';
import { createShares } from './shares.ts';
import { strayTap } from './stray-tap.ts';
import { createSurroundings } from './surroundings.ts';
import { createSysctl } from './sysctl.ts';
import { createWholeness } from './whole.ts';

const FORWARDING = 'net/ipv4/ip_forward';

/** The hands that the network works with. `run`, `follow` and `processes` act in the network namespace that is to be managed. */
export interface NetworkHands {
  readonly run: Run;
  readonly follow?: Follow;
  /** To keep `ip` and `nft`, in the same namespace; absent: they are started for each act. */
  readonly living?: {
    readonly converse: Converse;
    readonly signal: AbortSignal;
  };
  readonly files: Files;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly log: Log;
  /** The host's own resolv.conf(5). */
  readonly resolvConf?: string;
  /** On a host that is slow: what limits of what is waited for are multiplied by; those of `run` have their own. */
  readonly patience?: number;
  /** How many connections a guest may have, where that is not the usual share. */
  readonly connections?: number;
}

/** Bridges, taps, NAT and DHCP by iproute2, nftables and dnsmasq. */
export function createNetwork(
  hands: NetworkHands,
): Network &
  PortGuards &
  Publisher &
  MetadataPaths &
  Macvtaps &
  Surroundings &
  Shares &
  FirewallElements &
  Wholeness &
  NetworkProbe {
  const { follow, files, processes, clock, log, resolvConf = '/etc/resolv.conf' } = hands;
  const run = kernelExplained(hands.run, files);
  const { living } = hands;
  const kept = (form: LivingForm): Run =>
    living
      ? kernelExplained(createLiving(form, hands.run, { ...living, clock, log, patience: hands.patience ?? 1 }), files)
      : run;
  const ip = createIp(run, kept(livingIp()));
  const nft = createNft(run, kept(livingNft()));
  const sysctl = createSysctl(run);
  const firewall = createFirewall(nft, hands.connections);
  const resolvers = createResolvers({ files, source: resolvConf });
  const dhcp = createDhcp({ run, ip, files, processes, clock, log, resolvers });
  const elements = createElements({ nft, ip });
  const forever = new AbortController().signal;

  const leases = createLeases({ run, files, processes, clock, log, dhcp });
  const guards = createGuards(nft);
  const publisher = createPublisher({ nft, ip, sysctl, flows: createFlows({ run, ip, log }) });
  const paths = createMetadataPaths({ nft, ip });
  const ports = { ...leases, ...guards, ...publisher, ...paths };

  return {
    ...createLinks({ ip, sysctl, files, log }),
    strayTap: (pid, given) => strayTap(files, pid, given),
    ...createMtus(ip),
    ...createShares(nft),
    ...ports,
    ...elements,
    ...createProbe({ run, follow, ip, nft, sysctl, ports, patience: hands.patience }),
    ...createMacvtaps({ ip, nft, run, files }),
    ...createMacvtapPath({ ip, nft, sysctl, log }),
    ...createSurroundings({ ip, nft, run }),
    ...createWholeness({
      ...{ ip, nft, sysctl, files, elements, log, connections: hands.connections },
      scratch: follow && { run, follow, files, clock, patience: hands.patience ?? 1 },
    }),
    addFirewall: firewall.addFirewall,
    removeFirewall: firewall.removeFirewall,
    tables: firewall.tables,
    removeTable: firewall.removeTable,
    startDhcp: dhcp.startDhcp,
    stopDhcp: dhcp.stopDhcp,
    dhcpRuns: dhcp.dhcpRuns,
    serverNews: dhcp.serverNews,

    forwarding: () =>
      guard('read whether IPv4 is forwarded', async () => (await sysctl.read(FORWARDING, forever)) === '1'),

    setForwarding: (on) =>
      guard(`turn IPv4 forwarding ${on ? 'on' : 'off'}`, async () => {
        // Writing it sets other settings back, even where it was so already.
        const wanted = on ? '1' : '0';
        if ((await sysctl.read(FORWARDING, forever)) !== wanted) await sysctl.write(FORWARDING, wanted, forever);
      }),

    findInterface: (device, signal) =>
      guard(`look for interface ${device}`, () => ip.find(plain('interface', device), signal)),

    interfaces: (signal) => guard('list the interfaces', () => ip.all(signal)),

    removeInterface: (device, signal) =>
      guard(`remove interface ${device}`, () => ip.remove(plain('interface', device), signal)),
  };
}
