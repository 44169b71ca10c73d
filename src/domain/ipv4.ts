import type { Taken } from './next-number.ts';

/** A block of IPv4 addresses. `network` is its first address as an unsigned 32-bit number. */
export interface Cidr {
  readonly network: number;
  /** Leading bits that its addresses share: 0 to 32. */
  readonly prefix: number;
}

/** The sizes that a network for guests may have: 16 million addresses down to 8, of which 5 are left for guests. */
const MIN_PREFIX = 8;
const MAX_PREFIX = 29;

/** Dotted decimal, four numbers without leading zeros (which some programs read as octal). @returns an unsigned number */
export function parseAddress(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  let value = 0;
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

export const formatAddress = (address: number): string =>
  [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');

/** Any block, from `0.0.0.0/0` to a single address; without a prefix it is one address. Host bits must be 0. */
export function parseBlock(text: string): Cidr | undefined {
  const match = /^([\d.]{7,15})(?:\/(\d{1,2}))?$/.exec(text);
  const network = parseAddress(match?.[1] ?? '');
  const prefix = Number(match?.[2] ?? 32);
  if (network === undefined || prefix > 32 || network % sizeOf(prefix) !== 0) return undefined;
  return { network, prefix };
}

/** A network for guests: `10.77.0.0/24`. Its host bits are 0 and its prefix is from /8 to /29. */
export function parseCidr(text: string): Cidr | undefined {
  const cidr = text.includes('/') ? parseBlock(text) : undefined;
  return cidr && cidr.prefix >= MIN_PREFIX && cidr.prefix <= MAX_PREFIX ? cidr : undefined;
}

/** The network of an address that was parsed. */
export function networkWith(address: string, prefix: number): Cidr {
  const value = parseAddress(address) ?? 0;
  return { network: value - (value % sizeOf(prefix)), prefix };
}

export const formatCidr = (cidr: Cidr): string => `${formatAddress(cidr.network)}/${cidr.prefix}`;

/** `255.255.255.0` */
export const netmaskOf = (cidr: Cidr): string => formatAddress(2 ** 32 - sizeOf(cidr.prefix));

/** The host's own address in the network: the first one. */
export const gatewayOf = (cidr: Cidr): string => formatAddress(cidr.network + 1);

export const broadcastOf = (cidr: Cidr): string => formatAddress(lastOf(cidr));

/** False for a text that is no address. */
export function contains(cidr: Cidr, address: string): boolean {
  const value = parseAddress(address);
  return value !== undefined && value >= cidr.network && value <= lastOf(cidr);
}

/**
 * Kept for who tries the network's ways as a guest would: the last that a guest could have. A network that has but
 * five keeps none.
 */
export const probeAddressOf = (cidr: Cidr): string | undefined =>
  cidr.prefix >= MAX_PREFIX ? undefined : formatAddress(lastOf(cidr) - 1);

/** Whether any address lies in both. */
export const overlap = (a: Cidr, b: Cidr): boolean => a.network <= lastOf(b) && b.network <= lastOf(a);

/** Whether a guest may have it: in the network, and not the network's own, the gateway's or the broadcast's. */
export const isForGuests = (cidr: Cidr, address: string): boolean =>
  contains(cidr, address) &&
  address !== formatAddress(cidr.network) &&
  address !== gatewayOf(cidr) &&
  address !== broadcastOf(cidr);

/**
 * The next free address after the one given last, round and round: an address
 * that was given back rests as long as there are others.
 *
 * @param last - the address given last; undefined, or outside the network: begins at the first
 * @returns undefined when all are taken
 */
export function nextAddress(cidr: Cidr, taken: Taken, last: string | undefined): string | undefined {
  const first = cidr.network + 2;
  const count = lastOf(cidr) - first;
  const from = last !== undefined && isForGuests(cidr, last) ? (parseAddress(last) ?? first) - first + 1 : 0;
  for (let i = 0; i < count; i++) {
    const candidate = formatAddress(first + ((from + i) % count));
    if (!taken.has(candidate)) return candidate;
  }
  return undefined;
}

const sizeOf = (prefix: number): number => 2 ** (32 - prefix);
const lastOf = (cidr: Cidr): number => cidr.network + sizeOf(cidr.prefix) - 1;
