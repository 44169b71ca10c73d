import type { Uid } from './microvm.ts';
import type { Spec } from './spec.ts';

/** The names of guests end in it; `.internal` is kept for such use and never delegated (ICANN, 2024). */
export const GUEST_DOMAIN = 'flintlock.internal';

/** A DNS label has at most 63 bytes (RFC 1035). */
const MAX_LABEL = 63;

/**
 * The name of one interface in the managed network's DNS, without the domain:
 * the microVM's id, of the first interface; `<id>-<interface>`, of the others.
 * Who comes second to a name gets the namespace behind it, or at last its uid.
 *
 * @param taken - the names of all other interfaces of the host
 */
export function guestName(spec: Spec, uid: Uid, nic: string, taken: ReadonlySet<string>): string {
  const isFirst = spec.interfaces[0]?.name === nic;
  const plain = isFirst ? spec.id : `${spec.id}-${nic}`;
  const candidates = [plain, `${plain}-${spec.namespace}`]
    .map(label)
    .filter((name) => isName(name) && !taken.has(name));
  const index = spec.interfaces.findIndex((i) => i.name === nic);
  return candidates[0] ?? `vm-${uid.toLowerCase()}${isFirst ? '' : `-${index}`}`;
}

/** What an id may have beside letters, digits and hyphens becomes a hyphen. */
const label = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .slice(0, MAX_LABEL)
    .replaceAll(/^-+|-+$/g, '');

/** Digits with a unit are a lease time to the DHCP server, and these words orders; a bare number looks like an address. */
const isName = (name: string): boolean => name !== '' && !/^(?:\d+[smhdw]?|ignore|infinite)$/.test(name);
