import { errorMessage } from '../base/error-text.ts';
import { TimeLimit } from '../base/time-limit.ts';
import { metadataBy } from '../domain/metadata-rules.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { GuestNic } from '../domain/network-config.ts';
import type { Clock } from '../ports/clock.ts';
import type { Guests } from '../ports/guests.ts';
import type { Log } from '../ports/log.ts';
import type { ToldMetadata } from '../ports/metadata-server.ts';
import type { RunningVmm } from '../ports/vmm.ts';

export interface TellMetadataDeps {
  readonly guests: Pick<Guests, 'of'>;
  readonly metadata: ToldMetadata;
  nicsOf(vm: MicroVm): readonly GuestNic[];
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/** A VMM answers at once. */
const TELL_MS = 10_000;
/** One that did not is told again so soon. */
const AGAIN_MS = 5_000;

/** Has VMMs that answer for metadata themselves answer with what there is of it now. */
export class TellMetadata {
  readonly #deps: TellMetadataDeps;
  /** Of which generation each was told by us. What a daemon before us told is not known: it is told again. */
  readonly #told = new WeakMap<RunningVmm, number>();

  constructor(deps: TellMetadataDeps) {
    this.#deps = deps;
  }

  /** @returns when to look again, where it could not be told */
  async mend(vm: MicroVm, signal: AbortSignal): Promise<number | undefined> {
    const { guests, metadata, nicsOf, clock, log } = this.#deps;
    const { mmds } = metadataBy(vm.spec);
    const running = guests.of(vm.uid);
    if (mmds === undefined || !running?.setMetadata || this.#told.get(running) === vm.generation) return undefined;
    try {
      using limit = new TimeLimit(signal, TELL_MS);
      await running.setMetadata(metadata.of(vm, nicsOf(vm), mmds), limit.signal);
      this.#told.set(running, vm.generation);
      return undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn('the VMM of a microVM was not told of its metadata', { uid: vm.uid, why: errorMessage(error) });
      return clock.now() + AGAIN_MS;
    }
  }
}
