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

/** A mark waits so long for others, of whatever microVM: a commit for each costs more than the acts. */
const WAIT_MS = 100;

/** Calls all who wait, at once: what they write then goes into one transaction. */
export class Round {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #waiting = new Set<() => void>();
  #cancel: (() => void) | undefined;

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  /** @returns how to wait no more */
  wait(call: () => void): () => void {
    this.#waiting.add(call);
    this.#cancel ??= this.#clock.after(WAIT_MS, () => {
      this.#cancel = undefined;
      const all = [...this.#waiting];
      this.#waiting.clear();
      for (const one of all) one();
    });
    return () => {
      this.#waiting.delete(call);
      if (this.#waiting.size > 0) return;
      this.#cancel?.();
      this.#cancel = undefined;
    };
  }
}

/** The marks of steps that run side by side: as many as there are go into one transaction. */
export class Marks implements Disposable {
  readonly #round: Round;
  readonly #write: (done: readonly Done[], and: (() => void) | undefined) => Promise<void>;
  #done: readonly Done[] = [];
  #writing: Promise<void> = Promise.resolve();
  #leave: (() => void) | undefined;

  /** @param write - stores all of it or nothing */
  constructor(round: Round, write: (done: readonly Done[], and: (() => void) | undefined) => Promise<void>) {
    this.#round = round;
    this.#write = write;
  }

  add(done: Done): void {
    this.#done = [...this.#done, done];
    this.#leave ??= this.#round.wait(() => {
      this.#leave = undefined;
      // What cannot be stored now is kept: who waits for the steps writes it, and is told.
      this.write().catch(() => undefined);
    });
  }

  /**
   * Writes what there is, once what was written before is stored.
   * @param and - done in the same transaction
   * @throws what keeps it from being stored; the marks are kept
   */
  write(and?: () => void): Promise<void> {
    const mine = this.#writing.catch(() => undefined).then(() => this.#writeNow(and));
    this.#writing = mine;
    return mine;
  }

  async #writeNow(and: (() => void) | undefined): Promise<void> {
    const done = this.#done;
    if (done.length === 0 && !and) return;
    await this.#write(done, and);
    this.#done = this.#done.slice(done.length);
    if (this.#done.length === 0) this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#leave?.();
    this.#leave = undefined;
  }
}
