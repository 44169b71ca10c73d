import {
  broadcastOf,
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  gatewayOf,
  networkWith,
  parseAddress,
} from './ipv4.ts';
import { shorten } from './labels.ts';
import type { Allocation } from './microvm.ts';
import type { GuestNic } from './network-config.ts';
import type { InterfaceSpec } from './spec.ts';

/** An address that a spec gives to an interface. */
export interface StaticAddress {
  readonly address: string;
  /** Absent: the network's. */
  readonly prefix?: number;
}

/**
 * `10.77.0.5`, or with a prefix `10.77.0.5/24`.
 * @returns the address, or what is wrong with the text
 */
export function parseStatic(text: string): StaticAddress | { readonly wrong: string } {
  if (text.includes(':')) return { wrong: `"${shorten(text)}": IPv6 is not built yet: give an IPv4 address` };
  const [, address = '', prefix] = /^([\d.]+)(?:\/(\d{1,2}))?$/.exec(text) ?? [];
  const isPrefix = prefix === undefined || (Number(prefix) >= 1 && Number(prefix) <= 32);
  if (parseAddress(address) === undefined || !isPrefix)
    return { wrong: `"${shorten(text)}" is no IPv4 address: write 10.77.0.5 or 10.77.0.5/24` };
  return { address, ...(prefix !== undefined && { prefix: Number(prefix) }) };
}

/** DNS servers that an interface may have: all of them must fit on the kernel's command line. */
const MAX_NAMESERVERS = 8;

/** What is wrong with the router and the DNS servers of a static address, each with the field's name below the interface. */
export function wrongRouting({ address, gateway, nameservers = [] }: Routing): readonly (readonly [string, string])[] {
  const fixed = address ? parseStatic(address) : undefined;
  if (fixed && 'wrong' in fixed) return [];
  if (!fixed)
    return gateway || nameservers.length > 0 ? [['address', 'gives a gateway or nameservers and no address']] : [];
  const wrong: (readonly [string, string])[] = [];
  if (gateway) {
    const router = parseStatic(gateway);
    const network = fixed.prefix === undefined ? undefined : networkWith(fixed.address, fixed.prefix);
    if ('wrong' in router) wrong.push(['gateway', router.wrong]);
    else if (router.address === fixed.address)
      wrong.push(['gateway', `${router.address} is the interface's own address: give the router's`]);
    else if (network && !contains(network, router.address))
      wrong.push(['gateway', `${router.address} is outside ${formatCidr(network)}, the network of ${address}`]);
  }
  nameservers.forEach((server, i) => {
    if (server.includes(':')) wrong.push([`nameservers[${i}]`, `"${shorten(server)}": IPv6 is not built yet`]);
    else if (parseAddress(server) === undefined)
      wrong.push([`nameservers[${i}]`, `"${shorten(server)}" is no IPv4 address: write 192.0.2.53`]);
  });
  if (nameservers.length > MAX_NAMESERVERS)
    wrong.push(['nameservers', `has ${nameservers.length} entries: at most ${MAX_NAMESERVERS}`]);
  return wrong;
}
type Routing = Pick<InterfaceSpec, 'address' | 'gateway' | 'nameservers'>;

/** The router's address alone: it may be given with a prefix. */
export function routerOf({ gateway }: Pick<InterfaceSpec, 'gateway'>): string | undefined {
  const parsed = gateway === undefined ? undefined : parseStatic(gateway);
  return parsed && 'address' in parsed ? parsed.address : undefined;
}

/** What is wrong with an address on the managed network, as a sentence with the remedy. */
export function wrongOn(network: Cidr, { address, prefix }: StaticAddress): string | undefined {
  const where = formatCidr(network);
  if (!contains(network, address)) return `${address} is outside the network ${where}: give one inside it`;
  if (address === gatewayOf(network)) return `${address} is the gateway's own: give another of ${where}`;
  if (address === broadcastOf(network)) return `${address} is the broadcast address of ${where}: give another`;
  if (address === formatAddress(network.network)) return `${address} is the network ${where} itself: give another`;
  if (prefix !== undefined && prefix !== network.prefix)
    return `/${prefix} is not the prefix of the network ${where}: leave it out`;
  return undefined;
}

/**
 * The interfaces as their guest is to set them up. On the managed network a
 * static address has the network's prefix, and its gateway as router and DNS
 * server where the spec names no others.
 *
 * A boot waits for the interfaces that are known to get an address, else for
 * the first one: of the others nobody may give them any, and systemd would wait
 * for two minutes.
 *
 * @param network - undefined: the taps are on a bridge of somebody else, of whom only the address is known
 */
export function guestNics(
  interfaces: readonly InterfaceSpec[],
  { interfaces: allocated }: Pick<Allocation, 'interfaces'>,
  network: Cidr | undefined,
): readonly GuestNic[] {
  const isManaged = ({ type, bridge }: InterfaceSpec): boolean =>
    network !== undefined && type === 'TAP' && bridge === undefined;
  const isSure = (nic: InterfaceSpec): boolean => nic.address !== undefined || isManaged(nic);
  const awaited = interfaces.some(isSure) ? isSure : (nic: InterfaceSpec) => nic === interfaces[0];
  return interfaces.map((nic): GuestNic => {
    const { name, address, nameservers = [] } = nic;
    const mac = allocated[name]?.mac ?? nic.mac ?? '';
    const fixed = address === undefined ? undefined : parseStatic(address);
    if (!fixed || 'wrong' in fixed) return { name, mac, ...(!awaited(nic) && { isOptional: true }) };
    const managed = isManaged(nic) ? network : undefined;
    const own = managed && gatewayOf(managed);
    const gateway = routerOf(nic) ?? own;
    const dns = nameservers.length > 0 || own === undefined ? nameservers : [own];
    const prefix = managed?.prefix ?? fixed.prefix ?? 32;
    return {
      name,
      mac,
      fixed: { address: `${fixed.address}/${prefix}`, ...(gateway !== undefined && { gateway }), dns },
    };
  });
}
