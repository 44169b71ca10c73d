/** A guest that resets itself so often within that time is in a loop: a reboot in order takes longer. */
const LOOP = { times: 6, withinMs: 60_000 };

/** Tells a guest that resets itself for ever from one that reboots. */
export class Resets {
  #at: readonly number[] = [];

  /** @param now - milliseconds that only grow */
  add(now: number): void {
    this.#at = [...this.#at.filter((at) => now - at < LOOP.withinMs), now];
  }

  /** How often it has reset itself lately, where that is a loop. */
  get loop(): number | undefined {
    return this.#at.length >= LOOP.times ? this.#at.length : undefined;
  }
}
