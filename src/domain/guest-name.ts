import type { Allocation, MicroVm, Uid } from './microvm.ts';
import type { Taken } from './next-number.ts';
import { isReserved } from './reserved-names.ts';
import type { Spec } from './spec.ts';

/** The names of guests end in it; `.internal` is kept for such use and never delegated (ICANN, 2024). */
export const GUEST_DOMAIN = 'flintlock.internal';

/** A DNS label has at most 63 bytes (RFC 1035). */
const MAX_LABEL = 63;

/**
 * The name of one interface in the managed network's DNS, without the domain:
 * the microVM's id, of the first interface; `<id>-<interface>`, of the others.
 * Who comes second to a name gets the namespace behind it, or at last its uid;
 * who asks for one that means something else ({@link isReserved}), its uid at once.
 *
 * @param taken - the names of all other interfaces of the host
 * @param own - the host's own names
 */
export function guestName(spec: Spec, uid: Uid, nic: string, taken: Taken, own?: ReadonlySet<string>): string {
  const isFirst = spec.interfaces[0]?.name === nic;
  const plain = isFirst ? spec.id : `${spec.id}-${nic}`;
  const index = spec.interfaces.findIndex((i) => i.name === nic);
  const last = `vm-${uid.toLowerCase()}${isFirst ? '' : `-${index}`}`;
  if (isReserved(label(plain), own)) return last;
  const candidates = [plain, `${plain}-${spec.namespace}`].map(label);
  return candidates.find((name) => isName(name) && !isReserved(name, own) && !taken.has(name)) ?? last;
}

interface Named extends Pick<MicroVm, 'spec' | 'uid'> {
  readonly allocation: Pick<Allocation, 'interfaces'>;
}

/** What a guest is called: its first interface's name in DNS, also where there is none to ask. */
export function hostnameOf({ spec, uid, allocation }: Named): string {
  const first = spec.interfaces[0]?.name ?? '';
  return allocation.interfaces[first]?.hostname ?? guestName(spec, uid, first, new Set());
}

/** What an id may have beside letters, digits and hyphens becomes a hyphen. */
const label = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .slice(0, MAX_LABEL)
    .replaceAll(/^-+|-+$/g, '');

/** Digits with a unit are a lease time to the DHCP server, and these words orders; a bare number is an address to inet_aton(3). */
const isName = (name: string): boolean => name !== '' && !/^(?:\d+[smhdw]?|0x[0-9a-f]*|ignore|infinite)$/.test(name);
