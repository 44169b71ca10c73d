interface Waiter {
  readonly whose: string;
  admit(): void;
}

/**
 * Lets at most `limit` run at once. The others wait: who has the fewest
 * running is next, and among those the first that came.
 */
export class Semaphore {
  readonly #waiting: Waiter[] = [];
  readonly #held = new Map<string, number>();
  readonly #mostOfOne: number;
  #free: number;

  /** @param mostOfOne - as many may be one's own, so that whoever comes finds a place */
  constructor(limit: number, mostOfOne = limit) {
    this.#free = limit;
    this.#mostOfOne = mostOfOne;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Runs `work` when there is a place. A wait that is aborted rejects with the signal's reason. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>, whose = ''): Promise<T> {
    await this.#enter(signal, whose);
    try {
      return await work();
    } finally {
      this.#free++;
      const held = this.#heldBy(whose) - 1;
      if (held > 0) this.#held.set(whose, held);
      else this.#held.delete(whose);
      this.#admit();
    }
  }

  #heldBy(whose: string): number {
    return this.#held.get(whose) ?? 0;
  }

  #enter(signal: AbortSignal, whose: string): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        whose,
        admit: () => {
          signal.removeEventListener('abort', leave);
          resolve();
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiter);
      this.#admit();
    });
  }

  #admit(): void {
    while (this.#free > 0) {
      let next: Waiter | undefined;
      for (const waiter of this.#waiting) {
        const held = this.#heldBy(waiter.whose);
        if (held < this.#mostOfOne && (next === undefined || held < this.#heldBy(next.whose))) next = waiter;
      }
      if (next === undefined) return;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#free--;
      this.#held.set(next.whose, this.#heldBy(next.whose) + 1);
      next.admit();
    }
  }
}
