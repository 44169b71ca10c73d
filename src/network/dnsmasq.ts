import { basename } from 'node:path';
import { Fault } from '../domain/fault.ts';
import { GUEST_DOMAIN } from '../domain/guest-name.ts';
import { netmaskOf, parseCidr } from '../domain/ipv4.ts';
import { DNS_OPEN } from '../domain/shares.ts';
import type { DhcpIntent, LeaseIntent } from '../ports/network.ts';
import { plain } from './failure.ts';

/** Where everything of one server lies. The server itself writes only the leases, which it opens before it drops its rights. */
export const dhcpPaths = (directory: string) => ({
  hosts: `${directory}/hosts`,
  /** Names of those that never ask for an address. */
  names: `${directory}/names`,
  leases: `${directory}/leases`,
  resolvers: `${directory}/resolv.conf`,
  logs: `${directory}/log`,
  log: `${directory}/log/dnsmasq.log`,
  oldLog: `${directory}/log/dnsmasq.log.1`,
});

/**
 * Whom the server runs as. `nobody`, where everybody may walk to its
 * directory; where a directory above is closed to others, root without root's
 * powers: see {@link CONFINED}.
 */
export type ServerUser = 'nobody' | 'root';

/** Leaves root what an owner may and a DHCP server needs: it cannot override a file's mode, load modules, or become another user. */
export const CONFINED = [
  'setpriv',
  '--no-new-privs',
  '--inh-caps=-all',
  '--bounding-set=-all,+net_admin,+net_raw,+net_bind_service,+setgid',
] as const;

/** A guest renews after half of it. */
const LEASE = '1h';

/**
 * The server's command line: the same for the same wish, so that a server
 * with another one is of another configuration or program version.
 *
 * @param bridgeIndex - a server that is bound to a bridge which is gone hears
 * nothing of the next one with its name; the pid file's name tells them apart
 * @param user - see {@link ServerUser}
 * @param mtu - of the bridge: guests are told it where it is not Ethernet's
 * @see dnsmasq(8)
 */
export function dnsmasqArgv(
  dhcp: DhcpIntent,
  bridgeIndex: number,
  user: ServerUser = 'nobody',
  mtu = 1_500,
): readonly [string, ...string[]] {
  const paths = dhcpPaths(dhcp.directory);
  const cidr = parseCidr(dhcp.cidr);
  if (!cidr)
    throw new Fault('invalid', `Cannot serve DHCP for ${JSON.stringify(dhcp.cidr)}: not a network from /8 to /29`, {
      reason: 'NetworkFailed',
    });
  const network = dhcp.cidr.split('/')[0] ?? '';
  return [
    'dnsmasq',
    '--conf-file=/dev/null',
    '--keep-in-foreground',
    '--log-facility=-',
    `--user=${user}`,
    ...(user === 'root' ? ['--group=root'] : []),
    `--pid-file=${dhcp.directory}/dnsmasq-${bridgeIndex}.pid`,
    // Only on the bridge: other DHCP and DNS servers of the host do not meet it.
    '--bind-interfaces',
    `--interface=${plain('bridge', dhcp.bridge)}`,
    '--except-interface=lo',
    `--listen-address=${plain('gateway', dhcp.gateway)}`,
    // DHCP: to whom an address is reserved, and to nobody else.
    `--dhcp-range=${network},static,${netmaskOf(cidr)},${LEASE}`,
    `--dhcp-hostsdir=${paths.hosts}`,
    `--hostsdir=${paths.names}`,
    `--dhcp-leasefile=${paths.leases}`,
    `--dhcp-option=option:router,${dhcp.gateway}`,
    ...(mtu === 1_500 ? [] : [`--dhcp-option=option:mtu,${mtu}`]),
    '--dhcp-authoritative',
    // Who a client is, its hardware address says, which the firewall holds it to; what it calls itself may be a neighbour's name.
    '--dhcp-ignore-clid',
    '--dhcp-lease-max=1000000',
    '--no-ping',
    '--quiet-dhcp',
    // DNS: guests by name, the rest from the host's resolvers. A guest does not choose its own name.
    '--no-hosts',
    // Of our own, as are all its inputs: the host's may be for the host's users alone.
    `--resolv-file=${paths.resolvers}`,
    // It is told by SIGHUP when that has changed: what it sees by itself has whole seconds, and of two changes in one it misses one.
    '--no-poll',
    `--dns-forward-max=${DNS_OPEN}`,
    '--dhcp-ignore-names',
    `--domain=${GUEST_DOMAIN}`,
    `--local=/${GUEST_DOMAIN}/`,
    '--domain-needed',
    '--bogus-priv',
  ];
}

/** The proof that a process is the server of this directory. */
export const servesDirectory =
  (directory: string) =>
  (argv: readonly string[]): boolean =>
    basename(argv[0] ?? '') === 'dnsmasq' && argv.includes(`--dhcp-hostsdir=${dhcpPaths(directory).hosts}`);

/** What dnsmasq says once its sockets are bound and it serves; without it, its own words on why not. */
export function readStartLog(log: string): { readonly serves: boolean; readonly words: string } {
  const lines = log.split('\n').flatMap((line) => /^dnsmasq(?:-dhcp)?(?:\[\d+\])?: (.+)$/.exec(line)?.[1] ?? []);
  return {
    serves: lines.some((line) => line.startsWith('started, version')),
    words: lines.filter((line) => line !== 'FAILED to start up').at(-1) ?? log.trim().slice(-500),
  };
}

/** One line of a lease file. */
export interface LeaseLine {
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly mac: string;
  readonly address: string;
  /** As the guest sent it, in hex, or `*`. */
  readonly clientId: string;
}

/**
 * `expiry mac address name client-id`, expiry in seconds since 1970. The file
 * is written in place: a line that is cut or mixed is left out, and the change
 * that completes it is seen next.
 */
export function parseLeases(text: string): readonly LeaseLine[] {
  return text.split('\n').flatMap((line) => {
    const match =
      /^(\d+) ((?:[0-9a-f]{2}:){5}[0-9a-f]{2}) (\d+\.\d+\.\d+\.\d+) \S+ (\*|[0-9a-f]{2}(?::[0-9a-f]{2})*)$/.exec(line);
    if (!match) return [];
    const [, expiry = '', mac = '', address = '', clientId = ''] = match;
    return [{ expiresAt: Number(expiry) * 1_000, mac, address, clientId }];
  });
}

/** Words that mean something else to the server: a lease time, or to leave the host alone. */
const OTHER_WORDS = /^(?:\d+[smhdw]?|ignore|infinite)$/;

/** A DNS label (RFC 1123) that the server takes for a name, if it is one. */
const labelOf = ({ hostname }: { readonly hostname: string }): string | undefined => {
  const name = hostname.toLowerCase();
  return /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name) && !OTHER_WORDS.test(name) ? name : undefined;
};

/** With a name, or without any: a line with a bad name would be ignored as a whole. */
export const hostLine = (lease: { readonly mac: string; readonly address: string; readonly hostname: string }) =>
  `${[lease.mac, lease.address, labelOf(lease) ?? []].flat().join(',')}\n`;

/** As in hosts(5); undefined where the lease tells the name, or there is none. */
export function nameLine(lease: LeaseIntent): string | undefined {
  const name = lease.isStatic && labelOf(lease);
  return name ? `${lease.address} ${name}.${GUEST_DOMAIN} ${name}\n` : undefined;
}

/** The files that a reservation is made of: [path, content]. */
export const leaseFiles = (lease: LeaseIntent): readonly (readonly [string, string])[] => {
  const { hosts, names } = dhcpPaths(lease.directory);
  const name = nameLine(lease);
  return [
    [`${hosts}/${lease.file}`, hostLine(lease)],
    ...(name === undefined ? [] : [[`${names}/${lease.file}`, name] as const]),
  ];
};
