import type { Clock } from '../ports/clock.ts';

export interface LookoutOptions {
  readonly clock: Clock;
  /** One look. Its own failures are its own affair: it does not reject. */
  readonly look: () => Promise<void>;
  /** Between two looks, in milliseconds: where somebody tells of changes, and where nobody does. */
  readonly everyMs: { readonly told: number; readonly untold: number };
  /** Whether somebody tells of changes now. */
  readonly isTold: () => boolean;
}

/** One change is mostly several. */
const SETTLE_MS = 300;
/** From the end of one look to the next, however much changes. */
const GAP_MS = 1_500;

/**
 * Looks soon after it is told of a change, and again and again where nobody
 * tells, one look at a time. It goes on whatever a look finds.
 */
export class Lookout {
  readonly #options: LookoutOptions;
  #cancel: (() => void) | undefined;
  #isSoon = false;
  #isLooking = false;
  #isTold = false;
  #isReleased = false;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(options: LookoutOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#cancel === undefined && !this.#isLooking) this.#plan();
  }

  /** Something may have changed. Before the start it is no news. */
  tell(): void {
    this.#isTold = true;
    if (this.#isLooking || this.#isSoon || this.#cancel === undefined) return;
    this.#plan();
  }

  release(): void {
    this.#isReleased = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #plan(): void {
    if (this.#isReleased) return;
    const { clock, everyMs, isTold } = this.#options;
    this.#cancel?.();
    this.#isSoon = this.#isTold;
    const soon = Math.max(SETTLE_MS, this.#lookedAt + GAP_MS - clock.elapsed());
    const ms = this.#isSoon ? soon : isTold() ? everyMs.told : everyMs.untold;
    this.#cancel = clock.after(ms, () => void this.#look());
  }

  async #look(): Promise<void> {
    this.#isLooking = true;
    this.#isTold = false;
    this.#isSoon = false;
    await this.#options.look();
    this.#isLooking = false;
    this.#lookedAt = this.#options.clock.elapsed();
    this.#plan();
  }
}
