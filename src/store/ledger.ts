import {
  type AnyEntry,
  entriesOf,
  type LedgerEntry,
  type LedgerKind,
  ownerText,
  type UnreadableRow,
  unreadable,
} from '../domain/ledger.ts';
import { isUnreadable, type Ledger, type LedgerSchemas } from '../ports/ledger.ts';
import type { Database } from './database.ts';
import { ParsedRows, type Row } from './parsed-rows.ts';

/**
 * The ledger in SQLite.
 *
 * @param schemas - how rows are written and read
 * @param program - the version of this program, for one that cannot read what it wrote
 */
export function createLedger(db: Database, schemas: LedgerSchemas, program: string): Ledger {
  const insert = db.sql.prepare(
    `INSERT INTO ledger (owner, kind, key, version, program, intent) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (owner, kind, key) DO NOTHING`,
  );
  // Whole: what was read of an older version's row is written as this one's.
  const mark = db.sql.prepare(
    'UPDATE ledger SET made = 1, version = ?, program = ?, intent = ?, result = ? WHERE entry = ?',
  );
  const unmark = db.sql.prepare("UPDATE ledger SET made = 0, result = 'null' WHERE kind = ? AND made = 1");
  const strike = db.sql.prepare('DELETE FROM ledger WHERE entry = ?');
  const one = db.sql.prepare('SELECT * FROM ledger WHERE owner = ? AND kind = ? AND key = ?');
  const byOwner = db.sql.prepare('SELECT * FROM ledger WHERE owner = ? ORDER BY entry');
  const byKind = db.sql.prepare('SELECT * FROM ledger WHERE kind = ? ORDER BY entry');
  const every = db.sql.prepare('SELECT * FROM ledger ORDER BY entry');

  const leaving = new Set<number>();
  const rows = new ParsedRows(schemas);
  const read = (row: Row): LedgerEntry | UnreadableRow => {
    const found = rows.read(row);
    return isUnreadable(found) || !leaving.has(found.entry) ? found : { ...found, made: false };
  };
  /** @throws Fault `refused` */
  const readOrRefuse = (row: Row): LedgerEntry => {
    const found = read(row);
    if (isUnreadable(found)) throw unreadable(found);
    return found;
  };
  /** A microVM's are asked for again while it is looked at. */
  const keeping = (some: readonly Row[]): readonly Row[] => {
    rows.keep(some);
    return some;
  };
  const readable = (rows: readonly Row[]): readonly LedgerEntry[] =>
    rows.map(read).filter((found): found is LedgerEntry => !isUnreadable(found));

  return {
    intend(owner, kind, key, intent) {
      return db.transact(() => {
        insert.run(ownerText(owner), kind, key, schemas.versionOf(kind), program, JSON.stringify(intent));
        const row = one.get(ownerText(owner), kind, key);
        if (!row) throw new Error(`ledger entry ${ownerText(owner)}/${kind}/${key} was not stored`);
        return of(kind, readOrRefuse(row)); // one that its own schema does not take is not stored
      });
    },
    made(entry, result) {
      db.transact(() => {
        const { kind, owner, key, intent } = entry;
        mark.run(schemas.versionOf(kind), program, JSON.stringify(intent), JSON.stringify(result), entry.entry);
        const row = one.get(ownerText(owner), kind, key);
        if (row) readOrRefuse(row);
      });
    },
    unmark: (kinds) =>
      void db.transact(() => {
        for (const kind of kinds) unmark.run(kind);
      }),
    leaving(entries) {
      const numbers = entries.map(({ entry }) => entry);
      for (const number of numbers) leaving.add(number);
      return {
        [Symbol.dispose]: () => {
          for (const number of numbers) leaving.delete(number);
        },
      };
    },
    strike(entry) {
      db.transact(() => strike.run(entry.entry));
      rows.forget(entry.entry);
    },
    of(owner) {
      return keeping(byOwner.all(ownerText(owner))).map(readOrRefuse);
    },
    find(owner, kind, key) {
      const row = one.get(ownerText(owner), kind, key);
      if (row) rows.keep([row]);
      return row && of(kind, readOrRefuse(row));
    },
    ofKind: (kind) => readable(byKind.all(kind)).map((entry) => of(kind, entry)),
    all: () => readable(every.all()),
    unreadable: (owner) =>
      (owner === undefined ? every.all() : keeping(byOwner.all(ownerText(owner)))).map(read).filter(isUnreadable),
  };
}

/** What was asked for by its kind is of it. */
function of<K extends LedgerKind>(kind: K, entry: AnyEntry): LedgerEntry<K> {
  const [found] = entriesOf([entry], kind);
  if (found) return found;
  throw new Error(`a row of kind ${kind} was read as ${entry.kind}`);
}
