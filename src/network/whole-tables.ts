import type { Flaw } from '../ports/network-watch.ts';
import type { Nft, NftRow } from './nft.ts';

/** One of our firewall tables, as it should be or as it is: each part by its name, without what sets and maps hold. */
type Parts = ReadonlyMap<string, string>;

/** What firewall tables of ours should hold, compared with what they hold. */
export interface TableMemory {
  remember(table: string, rows: readonly NftRow[]): void;
  knows(table: string): boolean;
  /** @param rows - what `nft -j list table` printed; undefined: there is no such table */
  flaws(table: string, rows: readonly NftRow[] | undefined): Flaw[];
}

/**
 * @param isVariable - whether a part of a table, as `chain NAME` or `set NAME`, comes and goes: it is remembered when it is
 * first seen, and its absence is told with what else belongs to it
 */
export function createTableMemory(nft: Nft, isVariable: (table: string, part: string) => boolean): TableMemory {
  const known = new Map<string, Parts>();

  return {
    remember(table, rows) {
      known.set(table, partsOf(rows));
    },
    knows: (table) => known.has(table),

    flaws(table, rows) {
      if (!rows) return [{ thing: `table ${table}`, what: `the firewall table ${table} is gone` }];
      const now = partsOf(rows);
      const before = known.get(table);
      if (!before) {
        known.set(table, now);
        return [];
      }
      const flaws: Flaw[] = [];
      for (const [part, text] of before) {
        const thing = `table ${table} ${part}`;
        const found = now.get(part);
        if (found === undefined && isVariable(table, part)) continue;
        if (found === undefined) flaws.push({ thing, what: `${part} of the firewall table ${table} is gone` });
        else if (found !== text) flaws.push({ thing, what: `${part} of the firewall table ${table} was changed` });
      }
      for (const [part, text] of now) {
        if (before.has(part)) continue;
        if (isVariable(table, part)) {
          known.set(table, new Map([...(known.get(table) ?? []), [part, text]]));
          continue;
        }
        flaws.push({
          thing: `table ${table} ${part}`,
          what: `${part} of the firewall table ${table} is not ours`,
          mend: (signal) => {
            const [kind = '', name = ''] = part.split(' ');
            const flush = kind === 'chain' ? `flush chain ${table} ${name}\n` : '';
            return nft.apply(`${flush}delete ${kind} ${table} ${name}`, signal);
          },
        });
      }
      return flaws;
    },
  };
}

/** The same text for the same rules, whoever printed them when: without numbers that the kernel gives. */
function partsOf(rows: readonly NftRow[]): Parts {
  const parts = new Map<string, string>();
  for (const { kind, row } of rows) {
    const name = String(row.name ?? '');
    switch (kind) {
      case 'table':
        // Its flags: one that is dormant does nothing.
        parts.set('table itself', written(row));
        break;
      case 'chain':
        parts.set(`chain ${name}`, written(row));
        break;
      case 'rule': {
        const chain = `chain ${String(row.chain)}`;
        parts.set(chain, `${parts.get(chain) ?? ''}\n${written(row)}`);
        break;
      }
      case 'metainfo':
        break;
      default:
        parts.set(`${kind} ${name}`, written(row));
    }
  }
  return parts;
}

/** What changes without anybody's doing: handles, what sets hold, and counts. */
const PASSING = new Set(['handle', 'elem', 'packets', 'bytes']);

function written(value: unknown): string {
  return JSON.stringify(value, (key, part: unknown) => {
    if (PASSING.has(key)) return undefined;
    // An anonymous set has no order of its own.
    if (key === 'set' && Array.isArray(part)) return part.map((one) => JSON.stringify(one)).toSorted();
    return part;
  });
}
