import type { VmStepKind } from '../domain/ledger.ts';
import type { Made } from '../domain/microvm.ts';
import type { Act } from '../ports/acts.ts';
import type { Clock } from '../ports/clock.ts';

/** A step whose act has ended well, and that is to be marked. */
export interface Done {
  readonly kind: VmStepKind;
  readonly act: Act;
  /** Writes it; called in a transaction. */
  readonly mark: () => void;
  readonly show: ((made: Made) => Made) | undefined;
}

/** A mark waits so long for others: a commit for each costs more than the acts. */
const WAIT_MS = 100;

/** The marks of steps that run side by side: as many as there are go into one transaction. */
export class Marks implements Disposable {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #write: (done: readonly Done[], and: (() => void) | undefined) => void;
  #done: readonly Done[] = [];
  #cancel: (() => void) | undefined;

  /** @param write - stores all of it or nothing */
  constructor(clock: Pick<Clock, 'after'>, write: (done: readonly Done[], and: (() => void) | undefined) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  add(done: Done): void {
    this.#done = [...this.#done, done];
    this.#cancel ??= this.#clock.after(WAIT_MS, () => {
      this.#cancel = undefined;
      try {
        this.write();
      } catch {
        // They are kept: who waits for the steps writes them, and is told.
      }
    });
  }

  /**
   * Writes what there is now.
   * @param and - done in the same transaction
   * @throws what keeps it from being stored; the marks are kept
   */
  write(and?: () => void): void {
    const done = this.#done;
    if (done.length === 0 && !and) return;
    this.#write(done, and);
    this.#done = this.#done.slice(done.length);
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
