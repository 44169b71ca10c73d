import { Semaphore } from '../../base/semaphore.ts';
import type { Clock } from '../../ports/clock.ts';

/** So many VMMs get ready at once: what two cores do well. */
const AT_ONCE = 8;
/** A guest whose VMM is ready waits no longer for those of others. */
const HOLD_MS = 1_000;

/**
 * The starts of all VMMs of the daemon, of whatever kind. Guests that boot take every core, and would keep the VMMs of
 * others from getting ready: each guest stands still until no VMM starts.
 */
export class Starts {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #places = new Semaphore(AT_ONCE);
  readonly #held = new Set<() => void>();
  #underWay = 0;

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  /**
   * @param start - resolves when the VMM is ready, and its guest stands still
   * @throws the signal's reason, when it comes before its turn; what `start` throws
   */
  async getReady<T>(signal: AbortSignal, start: () => Promise<T>): Promise<T> {
    this.#underWay++;
    try {
      return await this.#places.run(signal, start);
    } finally {
      if (--this.#underWay === 0) for (const letGo of this.#held) letGo();
    }
  }

  /**
   * Resolves when no VMM starts, or after a second of it.
   * @throws the signal's reason
   */
  async none(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#underWay === 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason);
    const cancel = this.#clock.after(HOLD_MS, resolve);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#held.add(resolve);
    try {
      await promise;
    } finally {
      this.#held.delete(resolve);
      signal.removeEventListener('abort', onAbort);
      cancel();
    }
  }
}
