import type { Json, LedgerEntry, LedgerKind, Owner } from '../domain/ledger.ts';

/**
 * The durable list of everything that we make on the host. Each call is one
 * transaction and is on the disk when it returns.
 */
export interface Ledger {
  /** Writes the intent, before the act. An entry that is there already is returned with its old intent. */
  intend(owner: Owner, kind: LedgerKind, key: string, intent: Json): LedgerEntry;
  /** Marks the act as done. */
  made(entry: LedgerEntry, result: Json): void;
  /** Takes the marks off every entry of these kinds: whether what they made is still there is not known. */
  unmark(kinds: readonly LedgerKind[]): void;
  /** Strikes the entry out, after its undo. */
  strike(entry: LedgerEntry): void;
  /** An owner's entries, oldest first. */
  of(owner: Owner): readonly LedgerEntry[];
  find(owner: Owner, kind: LedgerKind, key: string): LedgerEntry | undefined;
  /** Every entry of a kind, oldest first. */
  ofKind(kind: LedgerKind): readonly LedgerEntry[];
  all(): readonly LedgerEntry[];
}
