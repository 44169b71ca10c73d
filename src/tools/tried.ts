import type { Clock } from '../ports/clock.ts';

export interface TriedOptions<T> {
  /** Tries it. Never rejects: what goes wrong is a verdict. */
  readonly attempt: () => Promise<T>;
  /** Another when the thing is another: then it is tried anew. */
  readonly stamp: () => Promise<string>;
  /** A verdict that holds as long as the thing is the same; another is doubted after `doubtMs`. */
  readonly isGood: (verdict: T) => boolean;
  readonly doubtMs: number;
  readonly clock: Pick<Clock, 'elapsed' | 'sleep'>;
  /** What the moment for who only asks is multiplied by, on a slow host; absent: 1. */
  readonly patience?: number | undefined;
}

/** A thing that was the same so lately is not looked at again: each create would look through the directories of a dozen programs. */
const FRESH_MS = 1_000;

/** So long who only asks waits for the first trial: something that hangs must not hold him up. */
const FIRST_ANSWER_MS = 5_000;

/** Remembers how the trial of a thing went, so that it is not tried more often than it changes. */
export class Tried<T> {
  readonly #options: TriedOptions<T>;
  #last: { readonly verdict: T; readonly stamp: string; readonly at: number } | undefined;
  /** When it was seen to be the same. */
  #seenAt = Number.NEGATIVE_INFINITY;
  #running: Promise<T> | undefined;

  constructor(options: TriedOptions<T>) {
    this.#options = options;
  }

  /** What came of it last, whether that still holds or not. */
  get last(): T | undefined {
    return this.#last?.verdict;
  }

  /** What holds now. Who asks while it is being tried waits for the same trial. */
  async verdict(): Promise<T> {
    if (this.#running) return this.#running;
    const before = this.#last;
    if (!before) return this.again();
    const { stamp, isGood, doubtMs, clock } = this.#options;
    const now = clock.elapsed();
    if (isGood(before.verdict) && now - this.#seenAt < FRESH_MS) return before.verdict;
    if (before.stamp !== (await stamp())) return this.again();
    this.#seenAt = now;
    return isGood(before.verdict) || now - before.at < doubtMs ? before.verdict : this.again();
  }

  /** What is known after a moment. @returns undefined where it is still being tried for the first time */
  async soon(): Promise<T | undefined> {
    const late = new AbortController();
    const { clock, patience = 1 } = this.#options;
    const enough = clock.sleep(FIRST_ANSWER_MS * patience, late.signal).then(
      () => this.last,
      () => undefined,
    );
    try {
      return await Promise.race([this.verdict(), enough]);
    } finally {
      late.abort();
    }
  }

  /** Tries it anew, for who has a reason to doubt. */
  again(): Promise<T> {
    this.#running ??= this.#attempt().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #attempt(): Promise<T> {
    const stamp = await this.#options.stamp(); // before: what changes meanwhile is tried anew
    const verdict = await this.#options.attempt();
    this.#last = { verdict, stamp, at: this.#options.clock.elapsed() };
    this.#seenAt = this.#last.at;
    return verdict;
  }
}
