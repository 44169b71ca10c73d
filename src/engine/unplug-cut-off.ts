import { errorMessage } from '../base/error-text.ts';
import { TimeLimit } from '../base/time-limit.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Guests } from '../ports/guests.ts';
import type { Log } from '../ports/log.ts';
import type { RunningVmm } from '../ports/vmm.ts';

export interface UnplugCutOffDeps {
  readonly guests: Pick<Guests, 'of'>;
  readonly log: Log;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

/** A VMM answers at once. */
const UNPLUG_MS = 10_000;

/**
 * Has VMMs let go of interfaces that were deleted on the host. Nobody can give them back to a guest that runs; what is left of them
 * costs the host a CPU, and the guest believes that it is plugged in.
 */
export class UnplugCutOff {
  readonly #deps: UnplugCutOffDeps;
  /** What each was told by us. What a daemon before us told is not known: it is told again. */
  readonly #told = new WeakMap<RunningVmm, Set<string>>();

  constructor(deps: UnplugCutOffDeps) {
    this.#deps = deps;
  }

  /** Any number of times, as long as it lasts. Never rejects: what failed is tried at the next. */
  async see(uid: Uid, devices: readonly string[]): Promise<void> {
    const { guests, log, signal } = this.#deps;
    const running = guests.of(uid);
    if (!running?.unplug) return;
    const told = this.#told.get(running) ?? new Set();
    this.#told.set(running, told);
    for (const device of devices) {
      if (told.has(device)) continue;
      told.add(device);
      try {
        using limit = new TimeLimit(signal, UNPLUG_MS);
        await running.unplug(device, limit.signal);
        log.info('an interface that was deleted on the host was unplugged from its guest', { uid, device });
      } catch (error) {
        told.delete(device);
        if (!signal.aborted) log.warn('an interface could not be unplugged', { uid, device, why: errorMessage(error) });
      }
    }
  }
}
