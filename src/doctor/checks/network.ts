import { isObject, type JsonObject, objectOf, objectsIn } from '../../base/json.ts';
import { type Cidr, overlap, parseBlock, parseCidr } from '../../domain/ipv4.ts';
import type { Check, CheckHost, Result } from '../check.ts';
import { ask, textOf, whoAmI } from '../look.ts';

/** The networks among which `--managed-network auto` chooses. */
const CANDIDATES = Array.from({ length: 255 - 77 + 1 }, (_, i) => `10.${77 + i}.0.0/24`);
/** Wider than this is a way out and not somebody's network. */
const WIDEST = 8;
/** What the alias of each interface of ours begins with: a name like ours anybody may give. */
const OUR_ALIAS = 'flintlock:';
/** DHCP servers listen here, RFC 2131. */
const DHCP_PORT = 67;

/** What of the host's own network is in the way of the managed one: routes, bridges, firewalls, DHCP servers. */
export const network: Check = {
  name: 'network',
  async examine(host) {
    const wall = await firewall(host);
    const found = await bridgesOf(host);
    const isOurs = (device: string): boolean => 'ours' in found && found.ours.includes(device);
    return [
      await routes(host, isOurs),
      await bridges(host, found, wall.status === 'warn'),
      wall,
      await dhcp(host, isOurs),
      ...(await left(host)),
    ];
  },
};

/** The bridges of the host, or why they are not known. */
type Bridges = { readonly ours: readonly string[]; readonly others: readonly string[] } | { readonly trouble: string };

async function bridgesOf(host: CheckHost): Promise<Bridges> {
  const { ok, text } = await ask(host, ['ip', '-j', 'link', 'show', 'type', 'bridge']);
  const rows = ok ? rowsOf(text) : undefined;
  if (!rows) return { trouble: text };
  const named = rows.flatMap(({ ifname, ifalias }) =>
    typeof ifname === 'string' ? [{ ifname, isOurs: String(ifalias ?? '').startsWith(OUR_ALIAS) }] : [],
  );
  const of = (isOurs: boolean) => named.filter((one) => one.isOurs === isOurs).map(({ ifname }) => ifname);
  return { ours: of(true), others: of(false) };
}

async function routes(host: CheckHost, isOurs: (device: string) => boolean): Promise<Result> {
  const name = 'managed network';
  const { ok, text } = await ask(host, ['ip', '-j', '-4', 'route', 'show', 'table', 'all']);
  const rows = ok ? rowsOf(text) : undefined;
  if (!rows) return { name, status: 'warn', found: `cannot tell the host's routes: ${text}`, fix: 'Look: ip route' };
  const taken = rows.filter(({ dev }) => !isOurs(String(dev))).flatMap(({ dst }) => blockOf(dst));
  const of = host.daemon?.network;
  const cidr = of && parseCidr(of.cidr);
  if (of && !cidr) return { name, status: 'ok', found: 'the daemon that runs has none', fix: '' };
  if (of && cidr) {
    // With all that is not on its own bridge: that of another daemon is in its way, too.
    const met = rows.find(({ dev, dst }) => dev !== of.bridge && blockOf(dst).some((other) => overlap(cidr, other)));
    if (!met) return { name, status: 'ok', found: `${of.cidr}, as the daemon has it, meets no route`, fix: '' };
    const found = `${of.cidr}, as the daemon has it, meets the host's route ${String(met.dst)} dev ${String(met.dev)}`;
    return { name, status: 'warn', found, fix: 'Give the one or the other another network (--managed-network CIDR)' };
  }
  const free = CANDIDATES.find((candidate) => {
    const cidr = parseCidr(candidate);
    return cidr && !taken.some((other) => overlap(cidr, other));
  });
  if (free === undefined) {
    const found = `every network from ${CANDIDATES[0]} to ${CANDIDATES.at(-1)} meets a route of the host`;
    return { name, status: 'fail', found, fix: 'Choose one by hand: flintlockd run --managed-network CIDR' };
  }
  const isFirst = free === CANDIDATES[0];
  const found = isFirst ? `${free} meets no route` : `${CANDIDATES[0]} meets a route of the host; ${free} is free`;
  return { name, status: 'ok', found, fix: '' };
}

function blockOf(destination: unknown): Cidr[] {
  const block = typeof destination === 'string' ? parseBlock(destination) : undefined;
  return block && block.prefix >= WIDEST ? [block] : [];
}

/** @param walled - whether a firewall drops what is forwarded */
async function bridges(host: CheckHost, all: Bridges, walled: boolean): Promise<Result> {
  const name = 'bridges';
  if ('trouble' in all)
    return { name, status: 'warn', found: `cannot be listed: ${all.trouble}`, fix: 'Look: ip link show type bridge' };
  const { ours, others } = all;
  const filtered = (await textOf(host, '/proc/sys/net/bridge/bridge-nf-call-iptables')) === '1';
  const found = [
    others.length === 0 ? 'no others' : `${others.join(', ')}, which a daemon may use with --bridge-name`,
    ...(ours.length > 0 ? [`${ours.join(', ')} of flintlockd`] : []),
  ].join('; ');
  if (!filtered || !walled) return { name, status: 'ok', found, fix: '' };
  const why =
    'frames between guests pass the IP firewall too (bridge-nf-call-iptables), as Docker and Kubernetes set it';
  const fix =
    'Where guests do not reach each other: sudo sysctl net.bridge.bridge-nf-call-iptables=0, or let their bridge pass';
  return { name, status: 'warn', found: `${found}; ${why}`, fix };
}

/** Docker, ufw and firewalld drop what is forwarded and not theirs. */
async function firewall(host: CheckHost): Promise<Result> {
  const name = 'other firewalls';
  const { ok, text } = await ask(host, ['nft', '-j', 'list', 'chains']);
  if (!ok) {
    const { root } = await whoAmI(host);
    return root
      ? { name, status: 'warn', found: `cannot be listed: ${text}`, fix: 'Look: nft list ruleset' }
      : { name, status: 'ok', found: 'only root can see them', fix: '' };
  }
  const chains = rowsOf(text, 'nftables').flatMap(({ chain }) => (isObject(chain) ? [chain] : []));
  const dropping = chains.find(
    ({ family, hook, policy }) => ['ip', 'inet'].includes(String(family)) && hook === 'forward' && policy === 'drop',
  );
  if (!dropping) return { name, status: 'ok', found: 'none drops what guests send out', fix: '' };
  const [family, table, chain] = [dropping.family, dropping.table, dropping.name].map(String);
  const docker = chains.some((one) => one.name === 'DOCKER-USER');
  const rule =
    `${family} ${table} ${chain}` === 'ip filter FORWARD'
      ? `iptables -I ${docker ? 'DOCKER-USER' : 'FORWARD'} -i BRIDGE -j ACCEPT (and once more with -o)`
      : `nft insert rule ${family} ${table} ${chain} iifname BRIDGE accept (and once more with oifname)`;
  return {
    name,
    status: 'warn',
    found: `the chain ${family} ${table} ${chain} drops what its rules do not let pass: guests may not reach the outside`,
    fix: `Where they do not, let them: sudo ${rule}; the bridge's name is in: flintlock audit`,
  };
}

/** Tables of a daemon whose bridge is gone drop what new guests of the same network are sent. */
async function left(host: CheckHost): Promise<Result[]> {
  const tables = await ask(host, ['nft', 'list', 'tables']);
  const links = await ask(host, ['ip', '-j', 'link', 'show', 'type', 'bridge']);
  if (!tables.ok || !links.ok) return [];
  const bridges = rowsOf(links.text).map(({ ifname }) => String(ifname));
  const found = [...tables.text.matchAll(/^table inet (flintlock_([a-z2-7]{4}))$/gm)].flatMap(([, table = '', id]) =>
    bridges.includes(`fl${id}br`) ? [] : [table],
  );
  if (found.length === 0) return [];
  return [
    {
      name: 'firewall tables',
      status: 'warn',
      found: `${found.join(', ')}: of a flintlockd whose bridge is gone; they may drop what guests are sent`,
      fix: 'Where no flintlockd runs that they belong to: flintlock audit --fix, or sudo flintlockd teardown',
    },
  ];
}

/** One that is bound to a device (`0.0.0.0%eth1:67`) hears nobody else's guests: so is each of flintlockd's own. */
async function dhcp(host: CheckHost, isOurs: (device: string) => boolean): Promise<Result> {
  const name = 'DHCP';
  const { ok, text } = await ask(host, ['ss', '-lnuH', `sport = :${DHCP_PORT}`]);
  if (!ok) return { name, status: 'warn', found: `cannot tell who serves DHCP: ${text}`, fix: 'Look: ss -lnup' };
  const listeners = text.split('\n').flatMap((line) => line.trim().split(/\s+/)[3] ?? []);
  const devices = listeners.flatMap((address) => /%([^:\]]+)\]?:\d+$/.exec(address)?.[1] ?? []);
  const others = [...new Set(devices)].filter((device) => !isOurs(device));
  if (devices.length === listeners.length) {
    const found = [
      ...(devices.some(isOurs) ? ["flintlockd's own serves its bridge"] : []),
      ...(others.length > 0 ? [`another serves ${others.join(', ')} only`] : []),
    ];
    return { name, status: 'ok', found: found.join('; ') || `UDP port ${DHCP_PORT} is free`, fix: '' };
  }
  return {
    name,
    status: 'warn',
    found: `a server listens on UDP port ${DHCP_PORT} of every interface`,
    fix: 'Bind it to its own interfaces (see ss -lnup), or use --bridge-name with its network',
  };
}

/** The rows of a tool's JSON, or of one list in it; none where it is something else. */
function rowsOf(json: string, key?: string): readonly JsonObject[] {
  try {
    const parsed: unknown = JSON.parse(json);
    return objectsIn(key === undefined ? parsed : objectOf(parsed)[key]);
  } catch {
    return [];
  }
}
