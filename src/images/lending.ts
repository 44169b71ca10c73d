import type { Keeper } from './keeper.ts';

/** Images that somebody works with just now: none of them is removed. */
export class Lending {
  readonly #count = new Map<string, number>();
  readonly #grown = new Set<string>();
  readonly #listeners = new Set<() => void>();

  isLent(digest: string): boolean {
    return this.#count.has(digest);
  }

  /** Until it is disposed of, the image is not removed. Waits for a removal that is under way. */
  async lend(digest: string, keeper: Keeper, signal: AbortSignal): Promise<Disposable> {
    do await keeper.removed(digest, signal);
    while (keeper.isRemoving(digest));
    this.#count.set(digest, (this.#count.get(digest) ?? 0) + 1);
    return { [Symbol.dispose]: () => this.#giveBack(digest) };
  }

  /** A lent image takes more of the disk than before. Told when it is lent no more: only then could it be dropped. */
  grew(digest: string): void {
    this.#grown.add(digest);
  }

  onGrowth(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #giveBack(digest: string): void {
    const left = (this.#count.get(digest) ?? 1) - 1;
    if (left > 0) return void this.#count.set(digest, left);
    this.#count.delete(digest);
    if (this.#grown.delete(digest)) for (const listener of this.#listeners) listener();
  }
}
