import { isObject, textOf } from '../base/json.ts';
import { Fault } from '../domain/fault.ts';
import type { FirewallElement, FirewallElements } from '../ports/network.ts';
import { guard } from './failure.ts';
import { guardElements } from './guards.ts';
import type { Ip } from './ip.ts';
import { macvtapElements } from './macvtap-path.ts';
import { metadataElements } from './metadata-paths.ts';
import type { Nft, NftRow } from './nft.ts';
import { publishElements } from './published.ts';
import { isOfShares } from './shares.ts';

/** Of the tables of macvtaps, what is there for all of them. */
const SHARED_CHAINS: readonly string[] = ['metadata', 'service-in', 'service-out'];

/** What single microVMs have in our firewall tables, for the audit: elements of sets and maps, and chains of macvtaps. */
export function createElements({ nft, ip }: { readonly nft: Nft; readonly ip: Ip }): FirewallElements {
  return {
    elements: (isOurs, signal) =>
      guard('list the firewall', async () => {
        const rows: NftRow[] = [];
        for (const { family, name } of await nft.tables(signal))
          if (isOurs(name)) rows.push(...((await nft.table(family, name, signal)) ?? []));
        return rows.flatMap(elementsIn);
      }),

    elementsOf(step) {
      switch (step.kind) {
        case 'guard':
          return guardElements('add', step.intent).map(nameOf);
        case 'publish':
          return publishElements('add', step.intent).map(nameOf);
        case 'metadata':
          return metadataElements('add', step.intent).map(nameOf);
        case 'macvtap-metadata':
          return macvtapElements('add', step.intent).map(nameOf);
        case 'macvtap':
          return [`netdev ${step.intent.table} chain ${step.intent.device}`];
        default:
          return step satisfies never;
      }
    },

    removeElement: (element, signal) =>
      guard(`remove ${element.name} from the firewall`, async () => {
        try {
          await nft.apply(element.removal, signal);
        } catch (error) {
          if (!(error instanceof Fault && /No such file or directory/.test(error.message))) throw error; // gone already
        }
      }),

    routeTables: (signal) => guard('list the routes', () => ip.tables(signal)),
  };
}

/** `add element bridge T ports { "x" }` and what a list shows of it have one name. */
const nameOf = (command: string): string => plainText(command.replace(/^add element /, ''));
const plainText = (line: string): string => line.replaceAll(/["{}]/g, '').replaceAll(/\s+/g, ' ').trim().toLowerCase();

export function elementsIn({ kind, row }: NftRow): FirewallElement[] {
  const [family, table, name] = [textOf(row.family), textOf(row.table), textOf(row.name)];
  if (kind === 'chain') {
    if (family !== 'netdev' || SHARED_CHAINS.includes(name)) return [];
    const chain = `${family} ${table} ${name}`;
    return [{ name: `${family} ${table} chain ${name}`, removal: `flush chain ${chain}\ndelete chain ${chain}` }];
  }
  // What the kernel puts there itself.
  if ((kind !== 'set' && kind !== 'map') || 'timeout' in row || isOfShares(name)) return [];
  return list(row.elem).map((element) => {
    const [key, value] = kind === 'map' && Array.isArray(element) ? element : [element, undefined];
    const quoted = written(key, typesOf(row.type));
    const shown = value === undefined ? quoted : `${quoted} : ${written(value, [])}`;
    return {
      name: plainText(`${family} ${table} ${name} ${shown}`),
      removal: `delete element ${family} ${table} ${name} { ${quoted} }`,
    };
  });
}

/** As nft(8) reads it: interfaces in quotes, parts joined by dots. */
function written(value: unknown, types: readonly string[]): string {
  const parts = isObject(value) && Array.isArray(value.concat) ? value.concat : [value];
  return parts.map((part: unknown, i) => (types[i] === 'ifname' ? `"${String(part)}"` : String(part))).join(' . ');
}

const typesOf = (type: unknown): readonly string[] => (Array.isArray(type) ? type.map(String) : [textOf(type)]);
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
