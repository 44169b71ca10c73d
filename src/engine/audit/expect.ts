import { type LedgerEntry, type LedgerKind, ownerText } from '../../domain/ledger.ts';
import type { Names } from '../../domain/names.ts';
import type { FirewallElements } from '../../ports/network.ts';
import type { Vmm } from '../../ports/vmm.ts';
import type { Expecting } from '../../steps/expecting.ts';
import { kinds } from '../../steps/registry.ts';
import type { Expected } from './thing.ts';
import { withoutEntry } from './without-entry.ts';

export interface Expectation {
  /** What each entry of the ledger names. */
  readonly named: readonly Expected[];
  /** Ours without an entry: the database, the lock, the sockets, and the directories that hold the rest. */
  readonly fixed: ReadonlySet<string>;
  /** Whatever path begins with one of these is part of what was named. */
  readonly within: readonly string[];
  /** Processes that are known by their command line alone. */
  readonly processes: readonly {
    isIt(argv: readonly string[]): boolean;
    readonly owner: string;
    readonly step: string;
  }[];
}

/** What the ledger says is on the host: each kind for itself. */
export function expect(
  entries: readonly LedgerEntry[],
  names: Names,
  vmms: readonly Vmm[],
  sockets: readonly string[],
  firewall: Pick<FirewallElements, 'elementsOf'>,
): Expectation {
  const named: Expected[] = [];
  const within: string[] = [];
  const processes: Expectation['processes'][number][] = [];
  const fixed = new Set(withoutEntry(names, sockets));
  for (const entry of entries) {
    const { made, kind: step } = entry;
    const owner = ownerText(entry.owner);
    const thing: Expecting['thing'] = (kind, name, isSure = made) =>
      void named.push({ kind, name, owner, step, made: isSure });
    const to: Expecting = {
      thing,
      elements(of, isSure = made) {
        for (const name of firewall.elementsOf(of)) thing('firewall-element', name, isSure);
      },
      process: (isIt) => void processes.push({ isIt, owner, step }),
      within: (path) => void within.push(path),
      part: (path) => void fixed.add(path),
      vmms,
    };
    ask(entry, to);
  }
  return { named, fixed, within, processes };
}

function ask<K extends LedgerKind>(entry: LedgerEntry<K>, to: Expecting): void {
  kinds[entry.kind].expect(entry, to);
}
