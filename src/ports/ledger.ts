import type { IntentOf, LedgerEntry, LedgerKind, Owner, OwnerOf, ResultOf, UnreadableRow } from '../domain/ledger.ts';

/**
 * The durable list of everything that we make on the host. Each call is one
 * transaction and is on the disk when it returns. Rows are parsed as they are
 * read; what is there and cannot be read is in `unreadable`.
 */
export interface Ledger {
  /**
   * Writes the intent, before the act. An entry that is there already is returned with its old intent.
   * @throws Fault `refused` LedgerUnreadable for one that is there and cannot be read
   */
  intend<K extends LedgerKind>(owner: OwnerOf<K>, kind: K, key: string, intent: IntentOf<K>): LedgerEntry<K>;
  /** Marks the act as done. */
  made<K extends LedgerKind>(entry: LedgerEntry<K>, result: ResultOf<K>): void;
  /** Takes the marks off every entry of these kinds: whether what they made is still there is not known. */
  unmark(kinds: readonly LedgerKind[]): void;
  /**
   * Until it is disposed of these count as not made, whoever reads them: what they made is being taken away, and must not be
   * taken for swept away by others and made again. Held in memory: a crash ends the taking away, too.
   */
  leaving(entries: readonly Pick<LedgerEntry, 'entry'>[]): Disposable;
  /** Strikes the entry out, after its undo. */
  strike(entry: Pick<LedgerEntry, 'entry' | 'kind'>): void;
  /**
   * An owner's entries, oldest first.
   * @throws Fault `refused` LedgerUnreadable where one of them cannot be read
   */
  of(owner: Owner): readonly LedgerEntry[];
  /** @throws Fault `refused` LedgerUnreadable where it cannot be read */
  find<K extends LedgerKind>(owner: OwnerOf<K>, kind: K, key: string): LedgerEntry<K> | undefined;
  /** Every entry of a kind that can be read, oldest first. */
  ofKind<K extends LedgerKind>(kind: K): readonly LedgerEntry<K>[];
  /** Every entry that can be read, oldest first. */
  all(): readonly LedgerEntry[];
  /** @param owner - absent: everybody's */
  unreadable(owner?: Owner): readonly UnreadableRow[];
}

/** A row as it is stored. */
export interface StoredRow {
  readonly entry: number;
  readonly owner: string;
  readonly kind: string;
  readonly key: string;
  /** Of the kind's schema that it was written by. */
  readonly version: number;
  /** The version of the program that wrote it last; empty: one that did not say. */
  readonly program: string;
  /** JSON. */
  readonly intent: string;
  readonly made: boolean;
  /** JSON. */
  readonly result: string;
}

/** How the rows of each kind are written and read. */
export interface LedgerSchemas {
  /** Of the schema that this program writes a kind's rows by. */
  versionOf(kind: LedgerKind): number;
  /** @returns the entry; or what is wrong with it */
  read(row: StoredRow): LedgerEntry | UnreadableRow;
}

export const isUnreadable = (row: LedgerEntry | UnreadableRow): row is UnreadableRow => 'why' in row;
