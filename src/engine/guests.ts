import { powerSeen } from '../domain/conditions.ts';
import type { Uid } from '../domain/microvm.ts';
import { clockRight, ended, guestSays } from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { Guests } from '../ports/guests.ts';
import type { Log } from '../ports/log.ts';
import { type Meter, NO_METER } from '../ports/meter.ts';
import type { Store } from '../ports/store.ts';
import type { RunningVmm, VmmEnd } from '../ports/vmm.ts';
import type { Wake } from '../ports/wake.ts';
import { tailOrNothing } from './console-tail.ts';
import type { GuestAgents } from './guest-agents.ts';
import type { GuestHealth } from './guest-health.ts';
import type { GuestLives } from './guest-lives.ts';
import type { GuestReports } from './guest-reports.ts';
import type { GuestSockets } from './guest-sockets.ts';

export interface GuestsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly wake: Wake;
  readonly reports: GuestReports;
  readonly lives: Pick<GuestLives, 'follow' | 'leave'>;
  /** Absent: nobody asks for them. */
  readonly agents?: Pick<GuestAgents, 'follow' | 'leave'>;
  /** Absent: there are none. */
  readonly sockets?: Pick<GuestSockets, 'follow' | 'leave'>;
  /** Absent: nobody asks how they are. */
  readonly health?: Pick<GuestHealth, 'follow' | 'leave'>;
  /** The end of the guest's console, as text. */
  consoleTail(uid: Uid): Promise<string>;
  /** Attempts to create before FAILED. */
  readonly maximumRetry: number;
  readonly meter?: Meter;
}

/** What could not be stored, for want of room on the disk, is tried again after this time. */
const STORE_AGAIN_MS = 5_000;

/** The VMMs that run, watched: what they say is stored at once. */
export class WatchedGuests implements Guests {
  readonly #running = new Map<Uid, RunningVmm>();
  readonly #listeners = new Set<(uids: ReadonlySet<Uid>) => void>();
  /** Cancels what is to be tried again. */
  readonly #again = new Map<Uid, () => void>();
  readonly #deps: GuestsDeps;

  constructor(deps: GuestsDeps) {
    this.#deps = deps;
  }

  attach(uid: Uid, running: RunningVmm, began: 'now' | 'earlier'): void {
    // Started, and started again since that could not be marked: letting go of it now would be for good.
    if (this.#running.get(uid) === running) return;
    this.detach(uid);
    this.#running.set(uid, running);
    this.#tellUntold(uid, running);
    running.onGuest(() => this.#heard(uid));
    running.onBoot(() => this.#bootedAnew(uid));
    void running.ended.then((end) => this.#ended(uid, running, end));
    this.#deps.reports.follow(uid, running, began);
    this.#deps.lives.follow(uid, running, began);
    this.#deps.agents?.follow(uid, running, began);
    this.#deps.sockets?.follow(uid);
    this.#deps.health?.follow(uid, running, ({ message }) => this.#recordAtLast(uid, { reason: 'Unhealthy', message }));
    for (const listener of this.#listeners) listener(new Set([uid]));
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
    this.#cancelAgain(uid);
    this.#deps.reports.leave(uid);
    this.#deps.lives.leave(uid);
    this.#deps.agents?.leave(uid);
    this.#deps.sockets?.leave(uid);
    this.#deps.health?.leave(uid);
    running?.release();
  }

  detachAll(): void {
    for (const uid of [...this.all(), ...this.#again.keys()]) this.detach(uid);
  }

  /** Calls back when a VMM has been taken over, with whose: what is shown of its microVM changes. @returns how to stop */
  onAttach(listener: (uids: ReadonlySet<Uid>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stores how a run ended. @throws when it cannot be stored */
  async recordEnd(uid: Uid, end: VmmEnd): Promise<void> {
    const { store, clock, log, wake, maximumRetry, meter = NO_METER } = this.#deps;
    const consoleTail = await tailOrNothing(this.#deps.consoleTail, log)(uid);
    const judged = { consoleTail, now: clock.now(), random: clock.random(), maximumRetry };
    let isNews = false;
    const vm = store.update(uid, (old) => {
      const next = ended(old, end, judged);
      isNews = next !== undefined;
      return next;
    });
    if (isNews && vm) {
      log.info('a run has ended', { uid, state: vm.state.is, reason: end.reason, message: end.message });
      meter.runEnded(end.reason, vm.state.is);
    }
    wake.wake(uid);
  }

  async #ended(uid: Uid, running: RunningVmm, end: VmmEnd): Promise<void> {
    if (this.#running.get(uid) !== running) return; // let go of, or replaced
    this.#running.delete(uid);
    running.release();
    this.#deps.lives.leave(uid);
    this.#deps.agents?.leave(uid);
    this.#deps.sockets?.leave(uid);
    this.#deps.health?.leave(uid);
    await this.#deps.reports.finish(uid);
    await this.#recordAtLast(uid, end);
  }

  /** A full disk must neither end the daemon nor lose how the run ended. */
  async #recordAtLast(uid: Uid, end: VmmEnd): Promise<void> {
    try {
      await this.recordEnd(uid, end);
    } catch (error) {
      this.#tryAgain(uid, error, () => void this.#recordAtLast(uid, end));
    }
  }

  /** Only what is said of its clock: where it cannot be stored it is said a while longer. */
  #bootedAnew(uid: Uid): void {
    try {
      this.#deps.store.update(uid, (vm) => clockRight(vm));
    } catch (error) {
      this.#deps.log.error('the state of a microVM could not be stored', { uid, error });
    }
  }

  /** Not worth failing a start for: where it cannot be stored it is left untold. */
  #tellUntold(uid: Uid, { untold }: RunningVmm): void {
    try {
      this.#deps.store.update(uid, (vm) => powerSeen(vm, untold, this.#deps.clock.now()));
    } catch (error) {
      this.#deps.log.error('the state of a microVM could not be stored', { uid, error });
    }
  }

  /** The VMM's word comes at any time: what cannot be stored now is stored by a later look. */
  #heard(uid: Uid): void {
    try {
      this.say(uid);
    } catch (error) {
      this.#tryAgain(uid, error, () => this.#deps.wake.wake(uid));
    }
  }

  /** After a pause: at once would be for ever, while the disk is full. */
  #tryAgain(uid: Uid, error: unknown, again: () => void): void {
    const { clock, log } = this.#deps;
    log.error('the state of a microVM could not be stored', { uid, error });
    this.#cancelAgain(uid);
    const cancel = clock.after(STORE_AGAIN_MS, () => {
      this.#again.delete(uid);
      again();
    });
    this.#again.set(uid, cancel);
  }

  #cancelAgain(uid: Uid): void {
    this.#again.get(uid)?.();
    this.#again.delete(uid);
  }
}
