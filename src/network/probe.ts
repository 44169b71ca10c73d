import { extname } from 'node:path';
import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import { GUEST_DOMAIN } from '../domain/guest-name.ts';
import { parseCidr } from '../domain/ipv4.ts';
import type { Follow, Followed, Run } from '../ports/host.ts';
import type { MetadataPaths, Network, PortGuards, Publisher } from '../ports/network.ts';
import type { NetworkProbe, ProbeIntent, Way, WayFound } from '../ports/network-probe.ts';
import type { ProbeOrder, ProbeReport } from '../probe/order.ts';
import { failed, guard, plain } from './failure.ts';
import type { Ip } from './ip.ts';
import { type Nft, removal } from './nft.ts';
import { type Refused, remedyFor } from './remedy.ts';
import type { Sysctl } from './sysctl.ts';
import { parseLegacy, parseTrace, type Refusal, type Trace } from './trace.ts';

export interface ProbeHands {
  readonly run: Run;
  /** Absent: nothing is tried. */
  readonly follow?: Follow | undefined;
  readonly ip: Ip;
  readonly nft: Nft;
  readonly sysctl: Sysctl;
  /** On a host that is slow: what each limit is multiplied by. */
  readonly patience?: number | undefined;
  readonly ports: Pick<Network, 'addLease' | 'removeLease'> &
    Pick<PortGuards, 'addGuard' | 'removeGuard'> &
    Pick<Publisher, 'addPorts' | 'removePorts'> &
    Pick<MetadataPaths, 'addMetadataPort' | 'removeMetadataPort'>;
}

/** A program of its own; a file of the same kind as this one. */
const program = (name: string): string =>
  new URL(`../probe/${name}${extname(import.meta.url)}`, import.meta.url).pathname;
/** Each of the two stages that it has: an open way answers within milliseconds, a host that is very slow within a second. */
const PATIENCE_MS = 4_000;
/** To start, both stages, and to be put away. */
const LIMIT_MS = 40_000;
/** Documentation's own (RFC 5737): nobody has it. What is sent there is dropped on its way out, and counted. */
const OUTSIDE = '192.0.2.1';
/** Resolvers everywhere know it for weeks, so that asking costs nobody anything. */
const OTHER_NAME = 'a.root-servers.net';
/** Of the metadata service, with the probe's own: see `probePorts` in the engine. */
const METADATA_PORTS = '19998-29999';
/** DNS: no server is there to be asked (RFC 1035, 4.1.1). */
const REFUSED = 5;
const COUNTER = 'out';

/** Tries the ways of guests by being one: see `src/probe/guest.ts`. */
export function createProbe({ run, follow, ip, nft, sysctl, ports, patience = 1 }: ProbeHands): NetworkProbe {
  const [patienceMs, limitMs] = [PATIENCE_MS * patience, LIMIT_MS * patience];
  /** Of a table that is there while it works: what gets so far was let out by all others, and goes no farther. */
  const rulesOf = (
    { table, bridge, device, gateway, publish, lease: { address } }: ProbeIntent,
    isTraced: boolean,
  ): string => {
    const name = plain('table', table);
    const own = plain('address', address);
    const last = `ip daddr ${OUTSIDE} counter name "${COUNTER}" drop`;
    const traced = isTraced
      ? `table bridge ${name} {
  chain prerouting {
    type filter hook prerouting priority -400; policy accept;
    iifname "${plain('interface', device)}" meta nftrace set 1
  }
}
table inet ${name} {
  chain output {
    type filter hook output priority -400; policy accept;
    oifname "${plain('bridge', bridge)}" ip daddr ${own} meta nftrace set 1
    oifname "${plain('bridge', bridge)}" udp sport 67 udp dport 68 meta nftrace set 1
    ip daddr ${plain('gateway', gateway)} tcp dport { ${publish.ports.map(({ hostPort }) => hostPort).join(', ')} } meta nftrace set 1
  }
}
`
      : '';
    return `${removal(`bridge ${name}`)}${removal(`inet ${name}`)}table inet ${name} {
  counter ${COUNTER} { }
  chain postrouting {
    type filter hook postrouting priority 10000; policy accept;
    ct original ip saddr ${own} ${last}
    ip saddr ${own} ${last}
  }
}
${traced}`;
  };

  const tidy = async ({ table, device }: ProbeIntent): Promise<void> => {
    using time = new TimeLimit(undefined, limitMs);
    const name = plain('table', table);
    await nft.apply(`${removal(`bridge ${name}`)}${removal(`inet ${name}`)}`, time.signal);
    await ip.remove(plain('interface', device), time.signal);
  };

  const sentOut = async ({ table }: ProbeIntent, signal: AbortSignal): Promise<boolean> => {
    const rows = (await nft.table('inet', plain('table', table), signal)) ?? [];
    return rows.some(({ kind, row }) => kind === 'counter' && row.name === COUNTER && Number(row.packets) > 0);
  };

  /** Plugs it in as soon as it is there, and hears it to its end. */
  const tryOnce = async (
    intent: ProbeIntent,
    start: Follow,
    isTraced: boolean,
    signal: AbortSignal,
  ): Promise<Tried & { readonly trace: readonly string[] }> => {
    const { bridge, device, lease, gateway, cidr, publish } = intent;
    const there = await ip.find(plain('bridge', bridge), signal);
    if (!there) throw failed(`there is no bridge ${bridge}`);
    const [port] = publish.ports;
    const order: ProbeOrder = {
      ...{ mac: lease.mac, address: lease.address, gateway, mtu: there.mtu ?? 1_500, outside: OUTSIDE },
      ...{ prefix: parseCidr(cidr)?.prefix ?? 24, otherName: OTHER_NAME, patienceMs },
      ...{ ownName: `probe.${GUEST_DOMAIN}`, ownPort: port?.guestPort ?? 0 },
    };
    const end = new AbortController();
    const ending = AbortSignal.any([signal, end.signal]);
    const trace: string[] = [];
    const said = Promise.withResolvers<ProbeReport>();
    said.promise.catch(() => undefined); // it may end before it is waited for
    const running: Followed[] = [];
    try {
      await nft.apply(rulesOf(intent, isTraced), signal);
      if (isTraced)
        running.push(start(['nft', 'monitor', 'trace'], { signal: ending, onLine: (line) => trace.push(line) }));
      const pid = Promise.withResolvers<number>();
      const listening = Promise.withResolvers<void>();
      listening.promise.catch(() => undefined);
      const guest = start(['unshare', '--net', '--', process.execPath, program('guest'), JSON.stringify(order)], {
        signal: ending,
        onLine(line) {
          const told = partOf(line);
          if (told.pid !== undefined) pid.resolve(told.pid);
          if (told.isListening === true) listening.resolve();
          if (told.report !== undefined) said.resolve(told.report);
        },
      });
      running.push(guest);
      void guest.ended.then((how) => {
        const fault = failed(`the probe ended before it had told what it found: ${how}`);
        pid.reject(fault);
        listening.reject(fault);
        said.reject(fault);
      });
      const at = await pid.promise;
      await ip.batch(
        [
          `link add name ${device} type veth peer name eth0 netns ${at}`,
          `link set dev ${device} mtu ${order.mtu} addrgenmode none master ${bridge} up`,
        ],
        signal,
      );
      await listening.promise;
      const isAnswered = await knock(gateway, port?.hostPort ?? 0, signal);
      const report = await said.promise;
      return { report, isAnswered, isOut: await sentOut(intent, signal), trace };
    } finally {
      end.abort();
      await Promise.all(running.map(({ ended }) => ended));
      await tidy(intent);
    }
  };

  /** At the published port, from the host. */
  const knock = async (gateway: string, port: number, signal: AbortSignal): Promise<boolean> => {
    const argv = [process.execPath, program('knock'), gateway, String(port), String(patienceMs)] as const;
    try {
      await run(argv, { signal, timeoutMs: LIMIT_MS });
      return true;
    } catch (error) {
      if (error instanceof Fault && error.kind === 'tool') return false;
      throw error;
    }
  };

  /** Whether the host itself has a way to the outside. */
  const hostGetsOut = async (bridge: string, signal: AbortSignal): Promise<boolean> => {
    try {
      const told = await run(['ip', '-j', '-4', 'route', 'get', OUTSIDE], { signal, timeoutMs: 10_000 });
      return !told.includes(`"dev":"${bridge}"`) && !/"type":"(?:unreachable|blackhole|prohibit)"/.test(told);
    } catch (error) {
      if (error instanceof Fault && error.kind !== 'timeout') return false;
      throw error;
    }
  };

  const legacyRules = async (signal: AbortSignal): Promise<string> => {
    try {
      return await run(['iptables-legacy-save', '--counters'], { signal, timeoutMs: 10_000 });
    } catch (error) {
      if (error instanceof Fault) return ''; // no such firewall on this host
      throw error;
    }
  };

  return {
    addProbe: (intent, signal) =>
      guard('make ready to try the ways of guests', async () => {
        await ports.addLease(intent.lease, signal);
        await ports.addGuard(intent.guard, signal);
        await ports.addMetadataPort(intent.metadata, signal);
        await ports.addPorts(intent.publish, signal);
      }),

    removeProbe: (intent, signal) =>
      guard('put away what tried the ways of guests', async () => {
        await tidy(intent);
        await ports.removePorts(intent.publish, signal);
        await ports.removeMetadataPort(intent.metadata, signal);
        await ports.removeGuard(intent.guard, signal);
        await ports.removeLease(intent.lease, signal);
      }),

    tryWays: (intent, signal) =>
      guard('try the ways of guests', async () => {
        if (!follow) return [];
        using time = new TimeLimit(signal, limitMs);
        const first = await tryOnce(intent, follow, false, time.signal);
        const getsOut = first.isOut || (await hostGetsOut(intent.bridge, time.signal));
        const shut = shutIn(first, getsOut);
        if (shut.size === 0) return foundOf(first, getsOut, []);
        using again = new TimeLimit(signal, limitMs);
        const before = await legacyRules(again.signal);
        const second = await tryOnce(intent, follow, true, again.signal);
        const after = await legacyRules(again.signal);
        const trace = parseTrace(second.trace);
        const chains = await nft.chains(again.signal);
        const refused = refusedIn(trace, intent);
        const legacies = parseLegacy(before, after);
        const isForwarding = (await sysctl.read('net/ipv4/ip_forward', again.signal)) === '1';
        const explain = (way: Way): Explained => {
          const legacy = legacies.find(({ chain }) => PLACES[chain]?.includes(way) ?? true);
          const by =
            refused.find((one) => one.way === way) ??
            (legacy && { ...legacy, way, isAnswer: legacy.chain === 'OUTPUT', family: 'ip', isLegacy: true });
          if (by) {
            const names = chains.flatMap((one) =>
              one.family === by.family && one.table === by.table ? [one.name] : [],
            );
            const around = {
              ...{ bridge: intent.bridge, prefix: intent.device.slice(0, 6) },
              ...{ metadataPorts: METADATA_PORTS, chains: names },
            };
            return { isSure: true, why: whyOf(by), remedy: remedyFor(by, around) };
          }
          if (way === 'out' && !isForwarding)
            return { isSure: true, why: 'IPv4 forwarding is off', remedy: 'sysctl -w net.ipv4.ip_forward=1' };
          return { isSure: false, ...unexplained(way, trace, intent) };
        };
        const still = shutIn(second, getsOut);
        return foundOf(
          second,
          getsOut,
          [...still].map((way) => ({ way, is: 'blocked' as const, ...explain(way) })),
        );
      }),
  };
}

interface Explained {
  readonly why: string;
  readonly remedy: string;
  readonly isSure: boolean;
}

interface Tried {
  readonly report: ProbeReport;
  /** At the published port. */
  readonly isAnswered: boolean;
  readonly isOut: boolean;
}

/** The ways that should be open and are not. */
function shutIn(tried: Tried, getsOut: boolean): ReadonlySet<Way> {
  const { report, isAnswered, isOut } = tried;
  const shut: readonly Way[] = [
    ...ASKED.filter((way) => !report[way]),
    // Where nothing is answered at all, nothing large is either.
    ...(report.metadata && !report.large ? (['large'] as const) : []),
    ...(isAnswered ? [] : (['published'] as const)),
    ...(isOut || !getsOut ? [] : (['out'] as const)),
  ];
  return new Set(shut);
}

const ASKED = ['dhcp', 'dns', 'metadata'] as const;

function foundOf(
  { report, isAnswered, isOut }: Tried,
  getsOut: boolean,
  blocked: readonly Extract<WayFound, { is: 'blocked' }>[],
): readonly WayFound[] {
  const names: WayFound =
    report.names.answered && report.names.code !== REFUSED
      ? { way: 'names', is: 'open' }
      : {
          ...{ way: 'names', is: 'absent' },
          why: report.names.answered
            ? 'the host has no DNS server to ask for names of others (see its /etc/resolv.conf)'
            : "the host's DNS servers do not answer for names of others",
        };
  const open = (['dhcp', 'dns', 'metadata', 'large'] as const).filter((way) => report[way]);
  return [
    ...open.map((way) => ({ way, is: 'open' }) as const),
    ...(isAnswered ? [{ way: 'published', is: 'open' } as const] : []),
    ...(report.dns ? [names] : []),
    ...(isOut
      ? [{ way: 'out', is: 'open' } as const]
      : getsOut
        ? []
        : [{ way: 'out', is: 'absent', why: 'the host itself has no route to the outside' } as const]),
    ...blocked,
  ];
}

/** Of a refused packet: which way it was on, and whether to the guest. */
function refusedIn({ refusals }: Trace, intent: ProbeIntent): readonly Refused[] {
  const ours = intent.guard.table;
  // The bridge hands a broadcast on to the neighbours too, and what the host itself gets does not depend on it.
  const isHandedOn = ({ packet }: Refusal): boolean => packet.includes('udp dport 67') && / oif /.test(packet);
  return refusals
    .toSorted((a, b) => Number(isHandedOn(a)) - Number(isHandedOn(b)))
    .flatMap(({ family, table, chain, rule, packet }: Refusal): Refused[] => {
      const found = wayOf(packet, intent);
      // Our own tables refuse what no guest needs, too: IPv6, and the outside's address.
      if (!found || table.startsWith(ours)) return [];
      return found.ways.map((way) => ({ way, isAnswer: found.isAnswer, family, table, chain, rule, isLegacy: false }));
    });
}

function wayOf(packet: string, intent: ProbeIntent): { ways: readonly Way[]; isAnswer: boolean } | undefined {
  const has = (words: string): boolean => packet.includes(words);
  const [port] = intent.publish.ports;
  if (has('udp dport 67')) return { ways: ['dhcp'], isAnswer: false };
  if (has('udp sport 67')) return { ways: ['dhcp'], isAnswer: true };
  const isLarge = Number(/ip length (\d+)/.exec(packet)?.[1] ?? 0) > 1_000;
  if (has('udp dport 53 ')) return { ways: ['dns'], isAnswer: false };
  if (has('udp sport 53 ')) return { ways: ['dns'], isAnswer: true };
  if (has('ip daddr 169.254.169.254') || has(`tcp dport ${intent.metadata.port} `))
    return { ways: isLarge ? ['large'] : ['metadata'], isAnswer: false };
  if (has('ip saddr 169.254.169.254') || has(`tcp sport ${intent.metadata.port} `))
    return { ways: ['metadata'], isAnswer: true };
  if (has(`tcp dport ${port?.hostPort} `) || has(`tcp dport ${port?.guestPort} `))
    return { ways: ['published'], isAnswer: false };
  if (has(`tcp sport ${port?.hostPort} `) || has(`tcp sport ${port?.guestPort} `))
    return { ways: ['published'], isAnswer: true };
  return has(`ip daddr ${OUTSIDE}`) ? { ways: ['out'], isAnswer: false } : undefined;
}

/** Which ways lead through one of the kernel's own chains. */
const PLACES: Readonly<Record<string, readonly Way[]>> = {
  FORWARD: ['out', 'published'],
  INPUT: ['dhcp', 'dns', 'metadata', 'large', 'published'],
  OUTPUT: ['dhcp', 'dns', 'metadata', 'large', 'published'],
};

const whyOf = ({ family, table, chain, rule, isLegacy }: Refused): string =>
  `the chain ${isLegacy ? 'iptables-legacy' : family} ${table} ${chain} refuses it ` +
  (rule === undefined ? 'by its policy' : `by its rule \`${rule}\``);

/** No chain has refused it: where it was last seen says where to look. */
function unexplained(way: Way, { seen }: Trace, intent: ProbeIntent): { why: string; remedy: string } {
  const path = seen
    .filter(({ packet, chain }) => wayOf(packet, intent)?.ways.includes(way) && !chain.includes(intent.table))
    .map(({ chain }) => chain);
  const last = path.at(-1);
  const look = `tc filter show dev ${intent.bridge} ingress; nft list ruleset; iptables-legacy-save -c; ebtables -L`;
  if (way === 'large')
    return {
      why: `small packets pass and those of the bridge's MTU do not`,
      remedy: `Look at the MTU of ${intent.bridge} and its ports, and for what drops packets by their length: ${look}`,
    };
  if (last === undefined)
    return {
      why: 'what a guest sends does not get as far as the firewall of its bridge',
      remedy: `Look for what is ahead of it: ${look}`,
    };
  if (way === 'dhcp' || way === 'dns')
    return {
      why: `no firewall chain refuses it (last seen in ${last}), and nothing is answered`,
      remedy: `Look at what the DHCP and DNS server says (log/dnsmasq.log in the network's directory), and: ${look}`,
    };
  return {
    why: `no firewall chain refuses it (last seen in ${last}), and it is lost after that`,
    remedy: `Look: ${look}`,
  };
}

/** A line of the probe's. */
function partOf(line: string): {
  readonly pid?: number;
  readonly isListening?: boolean;
  readonly report?: ProbeReport;
} {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : {}; // our own program's
  } catch {
    return {}; // a warning of the runtime's
  }
}
