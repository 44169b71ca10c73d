import { TimeLimit } from './time-limit.ts';

/** What is needed of time: see `ports/clock.ts`. */
interface Timers {
  /** Milliseconds, evenly. */
  elapsed(): number;
  /** @returns how to stop */
  after(ms: number, callback: () => void): () => void;
}

export interface PeriodicOptions {
  readonly clock: Timers;
  /** From the end of one look to the next, in milliseconds; a function is asked at each end. */
  readonly everyMs: number | (() => number);
  /** In milliseconds, of {@link Periodic.soon}: until the look, as one change is mostly several, and from the look before. Default: 0. */
  readonly soon?: { readonly settleMs: number; readonly gapMs: number };
  /** So long a look may take; then its signal aborts. Absent: it ends by itself. */
  readonly limitMs?: number;
  /** One look, one at a time. @param signal - aborts at the limit, and when it is stopped */
  readonly look: (signal: AbortSignal) => void | Promise<void>;
  /** A look threw, for another reason than that it was stopped. @param isNew - the look before it did not */
  readonly onFailure: (error: unknown, isNew: boolean) => void;
}

/**
 * Looks again and again, one look at a time, and soon when somebody tells of a
 * change. It goes on whatever a look finds or throws, until it is stopped.
 */
export class Periodic {
  readonly #options: PeriodicOptions;
  readonly #stopping = new AbortController();
  #isStarted = false;
  #looking: Promise<void> | undefined;
  /** Somebody told of a change while it looked. */
  #isTold = false;
  #cancel = (): void => undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #isFailing = false;

  constructor(options: PeriodicOptions) {
    this.#options = options;
  }

  get isLooking(): boolean {
    return this.#looking !== undefined;
  }

  /**
   * @param first - the first look: when a period is over, soon, or at once
   * @returns itself; a second start does nothing
   */
  start(first: 'later' | 'soon' | 'now' = 'later'): this {
    if (this.#isStarted) return this;
    this.#isStarted = true;
    if (first === 'now') this.#begin();
    else if (first === 'soon') this.soon();
    else this.#plan(this.#everyMs());
    return this;
  }

  /** Something may have changed. Before the start it is no news; during a look there is another one soon after it. */
  soon(): void {
    if (!this.#isStarted || this.#stopping.signal.aborted) return;
    if (this.#looking) {
      this.#isTold = true;
      return;
    }
    const { clock, soon } = this.#options;
    const { settleMs, gapMs } = soon ?? { settleMs: 0, gapMs: 0 };
    this.#plan(Math.max(settleMs, this.#lookedAt + gapMs - clock.elapsed()));
  }

  /** Breaks off a look under way. @returns when that has ended: not to be waited for by the look itself */
  async stop(reason?: unknown): Promise<void> {
    this.#stopping.abort(reason);
    this.#cancel();
    await this.#looking;
  }

  #everyMs(): number {
    const { everyMs } = this.#options;
    return typeof everyMs === 'number' ? everyMs : everyMs();
  }

  /** A look that is due before stays so. */
  #plan(ms: number): void {
    const { clock } = this.#options;
    const at = clock.elapsed() + ms;
    if (this.#stopping.signal.aborted || at >= this.#dueAt) return;
    this.#cancel();
    this.#dueAt = at;
    this.#cancel = clock.after(ms, () => this.#begin());
  }

  #begin(): void {
    if (this.#stopping.signal.aborted || this.#looking) return;
    this.#dueAt = Number.POSITIVE_INFINITY;
    this.#isTold = false;
    this.#looking = this.#look().then(() => {
      this.#looking = undefined;
      this.#lookedAt = this.#options.clock.elapsed();
      if (this.#isTold) this.soon();
      else this.#plan(this.#everyMs());
    });
  }

  async #look(): Promise<void> {
    const { limitMs, look, onFailure } = this.#options;
    const { signal } = this.#stopping;
    using limit = limitMs === undefined ? undefined : new TimeLimit(signal, limitMs);
    try {
      await look(limit?.signal ?? signal);
      this.#isFailing = false;
    } catch (error) {
      if (!signal.aborted) onFailure(error, !this.#isFailing);
      this.#isFailing = true;
    }
  }
}
