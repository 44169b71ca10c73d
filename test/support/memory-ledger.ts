import type { Json, LedgerEntry } from '../../src/domain/ledger.ts';
import type { Ledger } from '../../src/ports/ledger.ts';

/** A ledger that outlives only what a test makes: a second cache on the same one is a daemon's next life. */
export function memoryLedger(): Ledger {
  let count = 0;
  let entries: readonly LedgerEntry[] = [];
  const copy = (value: Json): Json => JSON.parse(JSON.stringify(value)) as Json;
  const find: Ledger['find'] = (owner, kind, key) =>
    entries.find((e) => e.owner === owner && e.kind === kind && e.key === key);
  return {
    intend(owner, kind, key, intent) {
      const there = find(owner, kind, key);
      if (there) return there;
      const entry: LedgerEntry = { entry: ++count, owner, kind, key, intent: copy(intent), made: false, result: null };
      entries = [...entries, entry];
      return entry;
    },
    made(entry, result) {
      entries = entries.map((e) => (e.entry === entry.entry ? { ...e, made: true, result: copy(result) } : e));
    },
    unmark(kinds) {
      entries = entries.map((e) => (kinds.includes(e.kind) ? { ...e, made: false, result: null } : e));
    },
    strike(entry) {
      entries = entries.filter((e) => e.entry !== entry.entry);
    },
    of: (owner) => entries.filter((e) => e.owner === owner),
    find,
    ofKind: (kind) => entries.filter((e) => e.kind === kind),
    all: () => entries,
  };
}
