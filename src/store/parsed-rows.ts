import type { LedgerEntry, UnreadableRow } from '../domain/ledger.ts';
import type { LedgerSchemas, StoredRow } from '../ports/ledger.ts';

/** Of the ledger's table. */
export type Row = Readonly<Record<string, unknown>>;

/** So many rows stay parsed: those of some 300 microVMs, of each about 2 KB. */
const MAX_PARSED = 4_000;

/**
 * Rows that were parsed, as long as they say the same. A microVM's are asked for a dozen times while it is made or taken
 * away; those that are only passed through are not kept.
 */
export class ParsedRows {
  readonly #schemas: LedgerSchemas;
  readonly #known = new Map<unknown, { readonly row: Row; readonly found: LedgerEntry | UnreadableRow }>();

  constructor(schemas: LedgerSchemas) {
    this.#schemas = schemas;
  }

  read(row: Row): LedgerEntry | UnreadableRow {
    const known = this.#known.get(row.entry);
    return known && isSame(known.row, row) ? known.found : this.#schemas.read(stored(row));
  }

  /** It is struck out. */
  forget(entry: number): void {
    this.#known.delete(entry);
  }

  keep(rows: readonly Row[]): void {
    if (this.#known.size + rows.length > MAX_PARSED) this.#known.clear();
    for (const row of rows) this.#known.set(row.entry, { row, found: this.read(row) });
  }
}

const COLUMNS = ['owner', 'kind', 'key', 'version', 'program', 'intent', 'made', 'result'] as const;
const isSame = (one: Row, other: Row): boolean => COLUMNS.every((column) => one[column] === other[column]);

const stored = (row: Row): StoredRow => ({
  entry: Number(row.entry),
  owner: String(row.owner),
  kind: String(row.kind),
  key: String(row.key),
  version: Number(row.version),
  program: String(row.program),
  intent: String(row.intent),
  made: row.made === 1,
  result: String(row.result),
});
