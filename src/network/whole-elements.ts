import type { IntentOf, LedgerEntry } from '../domain/ledger.ts';
import type { Flaw } from '../ports/network-watch.ts';
import { type createElements, elementsIn } from './elements.ts';
import type { NftRow } from './nft.ts';

type Elements = ReturnType<typeof createElements>;

/**
 * What is in the firewall's sets and maps for each guest, and what is there for nobody.
 *
 * @param rows - of the tables that are there
 * @param tables - those, by family and name
 */
export function elementFlaws(
  elements: Elements,
  rows: readonly NftRow[],
  tables: readonly string[],
  ledger: {
    readonly still: readonly LedgerEntry[];
    readonly all: readonly LedgerEntry[];
    readonly isWhole: boolean;
  },
): Flaw[] {
  const there = rows.flatMap(elementsIn).filter(({ name }) => !isChain(name));
  const names = new Set(there.map(({ name }) => name));
  // One with its table is told of as the table.
  const inTables = (names: readonly string[]): readonly string[] =>
    names.filter((name) => tables.some((table) => name.startsWith(`${table} `)));
  const namesOf = (entry: LedgerEntry): readonly string[] => {
    switch (entry.kind) {
      case 'probe':
        return probeNames(entry.intent, elements);
      case 'guard':
      case 'publish':
      case 'metadata':
      case 'macvtap-metadata':
        return inTables(elements.elementsOf(entry));
      default:
        return [];
    }
  };
  const missing = ledger.still.flatMap((entry) =>
    namesOf(entry)
      .filter((name) => !names.has(name))
      .map((name): Flaw => ({ thing: `element ${name}`, what: `${name} is gone`, ...ownerOf(entry) })),
  );
  if (!ledger.isWhole) return missing; // what seems to be nobody's may be that of a row that cannot be read
  const named = new Set(ledger.all.flatMap(namesOf));
  const foreign = there
    .filter(({ name }) => !named.has(name))
    .map(
      (element): Flaw => ({
        thing: `element ${element.name}`,
        what: `${element.name} is in the firewall and nobody's`,
        mend: (signal) => elements.removeElement(element, signal),
      }),
    );
  return [...missing, ...foreign];
}

const probeNames = ({ guard, metadata, publish }: IntentOf<'probe'>, elements: Elements): readonly string[] => [
  ...elements.elementsOf({ kind: 'guard', intent: guard }),
  ...elements.elementsOf({ kind: 'metadata', intent: metadata }),
  ...elements.elementsOf({ kind: 'publish', intent: publish }),
];

/** What is the host's is everybody's. */
export const ownerOf = ({ owner }: LedgerEntry): { readonly owner?: string } =>
  owner.is === 'vm' ? { owner: owner.uid } : {};

const isChain = (name: string): boolean => name.split(' ')[2] === 'chain';
