import { broadcastOf, type Cidr, contains, formatAddress, formatCidr, gatewayOf, parseAddress } from './ipv4.ts';
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
 * static address has the network's prefix, and its gateway as router and DNS server.
 *
 * @param network - undefined: the taps are on a bridge of somebody else, of whom only the address is known
 */
export function guestNics(
  interfaces: readonly InterfaceSpec[],
  { interfaces: allocated }: Pick<Allocation, 'interfaces'>,
  network: Cidr | undefined,
): readonly GuestNic[] {
  return interfaces.map(({ name, mac: given, address }): GuestNic => {
    const mac = allocated[name]?.mac ?? given ?? '';
    const fixed = address === undefined ? undefined : parseStatic(address);
    if (!fixed || 'wrong' in fixed) return { name, mac };
    if (!network) return { name, mac, fixed: { address: `${fixed.address}/${fixed.prefix ?? 32}`, dns: [] } };
    const gateway = gatewayOf(network);
    return { name, mac, fixed: { address: `${fixed.address}/${network.prefix}`, gateway, dns: [gateway] } };
  });
}
