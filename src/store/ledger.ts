import type { Json, LedgerEntry, LedgerKind } from '../domain/ledger.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Database } from './database.ts';

/** The ledger in SQLite. */
export function createLedger(db: Database): Ledger {
  const insert = db.sql.prepare(
    'INSERT INTO ledger (owner, kind, key, intent) VALUES (?, ?, ?, ?) ON CONFLICT (owner, kind, key) DO NOTHING',
  );
  const mark = db.sql.prepare('UPDATE ledger SET made = 1, result = ? WHERE entry = ?');
  const unmark = db.sql.prepare("UPDATE ledger SET made = 0, result = 'null' WHERE kind = ? AND made = 1");
  const strike = db.sql.prepare('DELETE FROM ledger WHERE entry = ?');
  const one = db.sql.prepare('SELECT * FROM ledger WHERE owner = ? AND kind = ? AND key = ?');
  const byOwner = db.sql.prepare('SELECT * FROM ledger WHERE owner = ? ORDER BY entry');
  const byKind = db.sql.prepare('SELECT * FROM ledger WHERE kind = ? ORDER BY entry');
  const every = db.sql.prepare('SELECT * FROM ledger ORDER BY entry');

  return {
    intend(owner, kind, key, intent) {
      return db.transact(() => {
        insert.run(owner, kind, key, JSON.stringify(intent));
        const row = one.get(owner, kind, key);
        if (!row) throw new Error(`ledger entry ${owner}/${kind}/${key} was not stored`);
        return fromRow(row);
      });
    },
    made: (entry, result) => void db.transact(() => mark.run(JSON.stringify(result), entry.entry)),
    unmark: (kinds) =>
      void db.transact(() => {
        for (const kind of kinds) unmark.run(kind);
      }),
    strike: (entry) => void db.transact(() => strike.run(entry.entry)),
    of: (owner) => byOwner.all(owner).map(fromRow),
    find(owner, kind, key) {
      const row = one.get(owner, kind, key);
      return row && fromRow(row);
    },
    ofKind: (kind) => byKind.all(kind).map(fromRow),
    all: () => every.all().map(fromRow),
  };
}

const fromRow = (row: Record<string, unknown>): LedgerEntry => ({
  entry: Number(row.entry),
  owner: String(row.owner),
  kind: String(row.kind) as LedgerKind, // only `intend` writes it
  key: String(row.key),
  intent: JSON.parse(String(row.intent)) as Json,
  made: row.made === 1,
  result: JSON.parse(String(row.result)) as Json,
});
