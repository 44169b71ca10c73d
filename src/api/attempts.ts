import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';

/** So many wrong tokens are free, then one each three seconds: 20 a minute against 2^64 and more of them. */
const BURST = 20;
const REFILL_MS = 3_000;
/** The oldest is forgotten above it: 100 bytes each. */
const MAX_ADDRESSES = 4_096;

/** Limits wrong tokens by the address that they come from: a token bucket each. */
export class Attempts {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws Fault `full` while too many have come: also a right token would tell a guesser */
  check(address: string): void {
    const bucket = this.#buckets.get(networkOf(address));
    if (!bucket) return;
    const left = this.#left(bucket);
    if (left >= 1) return;
    const seconds = Math.ceil(((1 - left) * REFILL_MS) / 1_000);
    throw new Fault('full', `Too many wrong tokens came from this address: try again in ${seconds} s`);
  }

  /** Counts a wrong token. */
  failed(address: string): void {
    const key = networkOf(address);
    const bucket = this.#buckets.get(key);
    const left = bucket ? this.#left(bucket) : BURST;
    this.#buckets.delete(key);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size >= MAX_ADDRESSES && oldest !== undefined) this.#buckets.delete(oldest);
    this.#buckets.set(key, { left: Math.max(0, left - 1), at: this.#clock.now() });
  }

  #left({ left, at }: { readonly left: number; readonly at: number }): number {
    const passed = Math.max(0, this.#clock.now() - at); // a clock that was set back gives nothing
    return Math.min(BURST, left + passed / REFILL_MS);
  }
}

/** A host of IPv6 has a whole /64 to call from. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [before = '', after] = (address.split('%')[0] ?? '').split('::');
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const middle = after === undefined ? [] : Array<string>(Math.max(0, 8 - head.length - tail.length)).fill('0');
  return [...head, ...middle, ...tail].slice(0, 4).join(':');
}
