import { orAborted } from '../base/or-aborted.ts';

/**
 * Lets one reader sleep until something has changed since it last looked. Who
 * waits for one microVM is woken by no other's changes: else many who wait at
 * once would each look at each change.
 */
export class Changes {
  #changed = false;
  #wake: (() => void) | undefined;
  readonly #stop: () => void;

  /** @param uid - of whose changes alone it is told; absent: of all */
  constructor(subscribe: (listener: (uids?: ReadonlySet<string>) => void) => () => void, uid?: string) {
    this.#stop = subscribe((uids) => {
      if (uid === undefined || !uids || uids.has(uid)) this.touch();
    });
  }

  touch(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /** Resolves at once if something changed since the last call; rejects with the signal's reason. */
  async next(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#changed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      try {
        await orAborted(promise, signal);
      } finally {
        this.#wake = undefined;
      }
    }
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}
