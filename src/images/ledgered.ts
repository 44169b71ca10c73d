import { CACHE_KINDS, type CacheKind, IMAGES_OWNER, type LedgerEntry, type ResultOf } from '../domain/ledger.ts';
import type { Act, Acts } from '../ports/acts.ts';
import type { Files } from '../ports/host.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import { type CachedIntent, removeCached } from '../steps/cached.ts';

/** What is needed of an entry to undo it. */
type Undone = Pick<LedgerEntry<CacheKind>, 'entry' | 'kind' | 'key' | 'intent'>;

export interface LedgeredOptions {
  readonly files: Files;
  readonly ledger: Ledger;
  readonly log: Log;
  readonly acts: Acts;
  /** Nothing outside it is ever removed, whatever an intent says. */
  readonly directory: string;
}

/**
 * Makes something under the ledger: the intent names every path that may come
 * to be, before the first of them does, so that whatever cuts the work off,
 * all of it can be put away.
 */
export class Ledgered {
  readonly #options: LedgeredOptions;

  constructor(options: LedgeredOptions) {
    this.#options = options;
  }

  /** @throws Fault `refused` where it cannot be read */
  find<K extends CacheKind>(kind: K, key: string): LedgerEntry<K> | undefined {
    return this.#options.ledger.find(IMAGES_OWNER, kind, key);
  }

  /** Everything of this cache, oldest first. What cannot be read is left alone. */
  all(): readonly LedgerEntry<CacheKind>[] {
    const { ledger } = this.#options;
    return CACHE_KINDS.flatMap((kind): readonly LedgerEntry<CacheKind>[] => ledger.ofKind(kind)).toSorted(
      (a, b) => a.entry - b.entry,
    );
  }

  /** What an earlier try left is put away first; so is what this one leaves when it fails. */
  async make<K extends CacheKind>(
    kind: K,
    key: string,
    paths: CachedIntent['paths'],
    work: () => Promise<ResultOf<K>>,
    signal?: AbortSignal,
  ): Promise<ResultOf<K>> {
    const before = this.find(kind, key);
    if (before) await this.undo(before);
    const { ledger, acts } = this.#options;
    const entry = ledger.intend(IMAGES_OWNER, kind, key, { paths });
    const act: Act = { kind, way: 'make', ...(signal && { signal }) };
    try {
      const result = await acts.run(act, work);
      ledger.made(entry, result);
      acts.marked(act);
      return result;
    } catch (error) {
      await this.undoOrLog(entry);
      throw error;
    }
  }

  /** Removes all that an entry names and strikes it out; nothing there is success. */
  async undo(entry: Undone): Promise<void> {
    const { ledger, log, acts, files, directory } = this.#options;
    const { kind } = entry;
    const act: Act = { kind, way: 'unmake' };
    await acts.run(act, () => removeCached(entry.intent, directory, files));
    ledger.strike(entry);
    acts.marked(act);
    log.debug('put away', { kind, key: entry.key });
  }

  /** For where another error is being told already: the entry stays, and the next start or try undoes it. */
  async undoOrLog(entry: Undone): Promise<boolean> {
    try {
      await this.undo(entry);
      return true;
    } catch (error) {
      this.#options.log.warn('cannot put away what was cut off; it is tried again', {
        kind: entry.kind,
        key: entry.key,
        error,
      });
      return false;
    }
  }

  /** The path of what an entry made. */
  finishedPath({ intent }: LedgerEntry<CacheKind>): string {
    return intent.paths[0];
  }
}
