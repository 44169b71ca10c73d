import { errorMessage } from '../base/error-text.ts';
import { TimeLimit } from '../base/time-limit.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Guests } from '../ports/guests.ts';
import type { Log } from '../ports/log.ts';
import type { RunningVmm } from '../ports/vmm.ts';

export interface ReplugCutOffDeps {
  readonly guests: Pick<Guests, 'of'>;
  readonly log: Log;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

/** A VMM answers at once. */
const REPLUG_MS = 20_000;

/**
 * Has VMMs take the taps that were made in the place of deleted ones: what they have open of those is no more, costs the host a CPU,
 * and their guests believe that they are plugged in.
 */
export class ReplugCutOff {
  readonly #deps: ReplugCutOffDeps;
  /** Of what was said that it failed. */
  readonly #told = new WeakMap<RunningVmm, Set<string>>();

  constructor(deps: ReplugCutOffDeps) {
    this.#deps = deps;
  }

  /** Any number of times, as long as it lasts. Never rejects: what failed is tried at the next. */
  async see(uid: Uid, devices: readonly string[]): Promise<void> {
    const { guests, log, signal } = this.#deps;
    const running = guests.of(uid);
    if (!running?.replug) return;
    const told = this.#told.get(running) ?? new Set();
    this.#told.set(running, told);
    for (const device of devices) {
      try {
        using limit = new TimeLimit(signal, REPLUG_MS);
        await running.replug(device, limit.signal);
        told.delete(device);
        log.info('an interface that was deleted on the host is plugged in again', { uid, device });
      } catch (error) {
        if (signal.aborted || told.has(device)) continue;
        told.add(device);
        log.warn('an interface could not be plugged in again', { uid, device, why: errorMessage(error) });
      }
    }
  }
}
