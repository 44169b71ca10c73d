import { Periodic } from '../base/periodic.ts';
import type { Clock } from '../ports/clock.ts';
import type { NetworkNews } from '../ports/network-watch.ts';

export interface LookoutOptions {
  readonly clock: Clock;
  readonly news: NetworkNews;
  /** One look at what the host has of ours. @param signal - aborts when it takes too long, and at the end */
  readonly look: (signal: AbortSignal) => Promise<void>;
  readonly onFailure: (error: unknown) => void;
  /** What the limit of time is multiplied by on a slow host. Default: 1. */
  readonly patience?: number | undefined;
}

/** Where the kernel tells of changes, what it does not tell of is found so late; where it does not, all. Milliseconds. */
const EVERY_MS = { told: 5_000, untold: 2_000 };
/** One change is mostly several; and from the end of one look to the next, however much changes. */
const SOON = { settleMs: 300, gapMs: 1_500 };
/** Some 20 ms for each microVM, of which a host may have hundreds. */
const LIMIT_MS = 120_000;

/** Looks after what a part of the network has: soon after something of ours has changed on the host, and from time to time. */
export class Lookout {
  readonly #news: NetworkNews;
  readonly #periodic: Periodic;
  #cancelNews: (() => void) | undefined;

  constructor({ clock, news, look, onFailure, patience = 1 }: LookoutOptions) {
    this.#news = news;
    const everyMs = (): number => (news.isTold() ? EVERY_MS.told : EVERY_MS.untold);
    this.#periodic = new Periodic({ clock, everyMs, soon: SOON, limitMs: LIMIT_MS * patience, look, onFailure });
  }

  /** A second start does nothing. */
  start(): void {
    this.#cancelNews ??= this.#news.onNews((what) => (what === 'ours' ? this.#periodic.soon() : undefined));
    this.#periodic.start();
  }

  release(reason: unknown): void {
    this.#cancelNews?.();
    void this.#periodic.stop(reason);
  }
}
