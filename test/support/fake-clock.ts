import type { Clock } from '../../src/ports/clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that stands still until a test moves it, and chance that is the same in every run. */
export class FakeClock implements Clock {
  #now: number;
  /** By how much it was set. */
  #set = 0;
  #seed = 1;
  #timers: readonly Timer[] = [];

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  elapsed(): number {
    return this.#now - this.#set;
  }

  /** mulberry32: https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
  random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  after(ms: number, callback: () => void): () => void {
    const timer: Timer = { at: this.#now + ms, callback };
    this.#timers = [...this.#timers, timer];
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal.aborted) reject(signal.reason);
    const cancel = this.after(ms, resolve);
    signal.addEventListener('abort', () => {
      cancel();
      reject(signal.reason);
    });
    return promise;
  }

  /** How many timers wait: none must be left behind. */
  get waiting(): number {
    return this.#timers.length;
  }

  /** When the next timer is due; undefined: none waits. */
  get next(): number | undefined {
    return this.#timers.length === 0 ? undefined : Math.min(...this.#timers.map((t) => t.at));
  }

  /** Sets the time without calling anything, as a host's clock that is set. */
  set(now: number): void {
    this.#set += now - this.#now;
    this.#now = now;
  }

  /** Moves time on and calls what falls due, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [due] = this.#timers.filter((t) => t.at <= end).toSorted((a, b) => a.at - b.at);
      if (!due) break;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = Math.max(this.#now, end);
  }
}

/** Lets everything run that is ready to. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Waits for something that needs no time but turns of the loop.
 * @throws when it is not so after many of them
 */
export async function eventually<T>(what: string, look: () => T | undefined | false, turns = 2_000): Promise<T> {
  for (let i = 0; i < turns; i++) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await turn();
  }
  throw new Error(`after ${turns} turns still not: ${what}`);
}
