import type { Uid } from '../domain/microvm.ts';
import { ended, guestSays } from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { Guests } from '../ports/guests.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { RunningVmm, VmmEnd } from '../ports/vmm.ts';
import type { Wake } from '../ports/wake.ts';

export interface GuestsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly wake: Wake;
  /** The end of the guest's console, as text. */
  consoleTail(uid: Uid): Promise<string>;
}

/** The VMMs that run, watched: what they say is stored at once. */
export class WatchedGuests implements Guests {
  readonly #running = new Map<Uid, RunningVmm>();
  readonly #listeners = new Set<() => void>();
  readonly #deps: GuestsDeps;

  constructor(deps: GuestsDeps) {
    this.#deps = deps;
  }

  attach(uid: Uid, running: RunningVmm): void {
    this.detach(uid);
    this.#running.set(uid, running);
    running.onGuest(() => this.#store(uid, () => this.say(uid)));
    void running.ended.then((end) => this.#ended(uid, running, end));
    for (const listener of this.#listeners) listener();
  }

  /** Stores what the VMM says now. */
  say(uid: Uid): void {
    const running = this.#running.get(uid);
    if (running) this.#deps.store.update(uid, (vm) => guestSays(vm, running.guest, this.#deps.clock.now()));
  }

  of(uid: Uid): RunningVmm | undefined {
    return this.#running.get(uid);
  }

  all(): readonly Uid[] {
    return [...this.#running.keys()];
  }

  detach(uid: Uid): void {
    const running = this.#running.get(uid);
    this.#running.delete(uid);
    running?.release();
  }

  detachAll(): void {
    for (const uid of this.all()) this.detach(uid);
  }

  /** Calls back when a VMM has been taken over: what is shown of its microVM changes. @returns how to stop */
  onAttach(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stores how a run ended. */
  async recordEnd(uid: Uid, end: VmmEnd): Promise<void> {
    const { store, clock, log, wake } = this.#deps;
    const tail = await this.#deps.consoleTail(uid);
    this.#store(uid, () => {
      const vm = store.update(uid, (old) => ended(old, end, tail, clock.now()));
      if (vm?.state.is === 'FAILED' || vm?.state.is === 'STOPPED')
        log.info('a microVM has ended', { uid, reason: end.reason, message: end.message });
    });
    wake.wake(uid);
  }

  async #ended(uid: Uid, running: RunningVmm, end: VmmEnd): Promise<void> {
    if (this.#running.get(uid) !== running) return; // let go of, or replaced
    this.#running.delete(uid);
    running.release();
    await this.recordEnd(uid, end);
  }

  /** The VMM's word comes at any time: a disk that is full then must not end the daemon. The next look stores it. */
  #store(uid: Uid, write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#deps.log.error('the state of a microVM could not be stored', { uid, error: String(error) });
      this.#deps.wake.wake(uid);
    }
  }
}
