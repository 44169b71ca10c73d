import { IMAGES_OWNER, type Json, type LedgerEntry } from '../domain/ledger.ts';
import type { FaultPoints } from '../ports/fault-points.ts';
import type { Files } from '../ports/host.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';

export type CacheKind = 'image-tree' | 'golden' | 'fitted-kernel';

export interface LedgeredOptions {
  readonly files: Files;
  readonly ledger: Ledger;
  readonly log: Log;
  readonly faults: FaultPoints;
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

  find(kind: CacheKind, key: string): LedgerEntry | undefined {
    return this.#options.ledger.find(IMAGES_OWNER, kind, key);
  }

  /** Everything of this cache, oldest first. */
  all(): readonly LedgerEntry[] {
    return this.#options.ledger.of(IMAGES_OWNER);
  }

  /** What an earlier try left is put away first; so is what this one leaves when it fails. */
  async make<R extends Json>(
    kind: CacheKind,
    key: string,
    paths: readonly [finished: string, ...others: string[]],
    act: () => Promise<R>,
    signal?: AbortSignal,
  ): Promise<R> {
    const before = this.find(kind, key);
    if (before) await this.undo(before);
    const entry = this.#options.ledger.intend(IMAGES_OWNER, kind, key, { paths });
    try {
      const result = await this.#options.faults.act(kind, 'make', act, signal);
      this.#options.ledger.made(entry, result);
      this.#options.faults.marked(kind, 'make');
      return result;
    } catch (error) {
      await this.undoOrLog(entry);
      throw error;
    }
  }

  /** Removes all that an entry names and strikes it out; nothing there is success. */
  async undo(entry: LedgerEntry): Promise<void> {
    const { ledger, log, faults } = this.#options;
    const kind = entry.kind as CacheKind;
    await faults.act(kind, 'unmake', () => this.#putAway(entry));
    ledger.strike(entry);
    faults.marked(kind, 'unmake');
    log.debug('put away', { kind, key: entry.key });
  }

  async #putAway(entry: LedgerEntry): Promise<void> {
    const { files } = this.#options;
    const [finished, ...others] = this.#pathsOf(entry);
    if (finished !== undefined && others[0] !== undefined && (await files.stat(finished))) {
      // At one blow, so that a half removed thing is never taken for a whole one.
      await files.remove(others[0]);
      await files.rename(finished, others[0]);
    }
    for (const path of others) await files.remove(path);
  }

  /** For where another error is being told already: the entry stays, and the next start or try undoes it. */
  async undoOrLog(entry: LedgerEntry): Promise<boolean> {
    try {
      await this.undo(entry);
      return true;
    } catch (error) {
      this.#options.log.warn('cannot put away what was cut off; it is tried again', {
        kind: entry.kind,
        key: entry.key,
        error: error instanceof Error ? error.message : String(error),
      });
      return false;
    }
  }

  /** The path of what an entry made. */
  finishedPath(entry: LedgerEntry): string | undefined {
    return this.#pathsOf(entry)[0];
  }

  #pathsOf(entry: LedgerEntry): readonly string[] {
    const { intent } = entry;
    if (typeof intent !== 'object' || intent === null || !('paths' in intent) || !Array.isArray(intent.paths))
      return [];
    const inside = `${this.#options.directory}/`;
    return intent.paths.filter(
      (path): path is string => typeof path === 'string' && path.startsWith(inside) && !path.split('/').includes('..'),
    );
  }
}
