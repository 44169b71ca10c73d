import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';

/** The same thing is said again after so long. */
const AGAIN_MS = 60_000;
/** So many things are remembered as said. */
const MAX_KEYS = 1_024;

/** A log for what others can provoke as often as they like: each thing once a minute, with how often it came meanwhile. */
export class RareLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #said = new Map<string, { readonly at: number; silent: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** @param key - what counts as the same thing */
  warn(key: string, message: string, fields: Readonly<Record<string, unknown>>): void {
    const now = this.#clock.now();
    const before = this.#said.get(key);
    if (before && now - before.at < AGAIN_MS) {
      before.silent++;
      return;
    }
    this.#said.delete(key); // it goes to the end: the first is the oldest
    const [oldest] = this.#said.keys();
    if (this.#said.size >= MAX_KEYS && oldest !== undefined) this.#said.delete(oldest);
    this.#said.set(key, { at: now, silent: 0 });
    this.#log.warn(message, { ...fields, ...(before && before.silent > 0 && { sinceTheLastLine: before.silent + 1 }) });
  }
}
