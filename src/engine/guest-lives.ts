import {
  alive,
  type LifeReport,
  notSeenYet,
  type Signs,
  seenBetween,
  UNSEEN_MS,
  unseen,
} from '../domain/guest-life.ts';
import type { Uid } from '../domain/microvm.ts';
import { guestLives } from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store, Transactions } from '../ports/store.ts';
import type { RunningVmm } from '../ports/vmm.ts';

export interface GuestLivesDeps {
  readonly store: Store;
  readonly transactions: Pick<Transactions, 'together'>;
  readonly clock: Clock;
  readonly log: Log;
  /** What limits of time are multiplied by on a slow host. Default: 1. */
  readonly patience?: number | undefined;
}

/** The first look: most say a word within half a second. */
const FIRST_LOOK_MS = 300;
/** Between looks, until the guest is seen, or that nothing is was told. */
const LOOK_MS = 1_000;
const LATE_LOOK_MS = 5_000;

/** Looks for the first sign of life of each guest that boots, and stores it as the condition `GuestAlive`. */
export class GuestLives {
  readonly #deps: GuestLivesDeps;
  readonly #looking = new Map<Uid, AbortController>();

  constructor(deps: GuestLivesDeps) {
    this.#deps = deps;
  }

  /** @param began - `earlier`: one that was seen already is not looked for again */
  follow(uid: Uid, running: RunningVmm, began: 'now' | 'earlier'): void {
    this.leave(uid);
    running.onBoot(() => this.#look(uid, running, 'again'));
    const before = this.#deps.store.get(uid)?.conditions.find(({ type }) => type === 'GuestAlive');
    if (began === 'earlier' && before?.status === 'True') return;
    // That one was another run's.
    if (began === 'now' && before) this.#say(uid, notSeenYet);
    this.#look(uid, running, began);
  }

  leave(uid: Uid): void {
    this.#looking.get(uid)?.abort();
    this.#looking.delete(uid);
  }

  #look(uid: Uid, running: RunningVmm, began: 'now' | 'earlier' | 'again'): void {
    this.leave(uid);
    const looking = new AbortController();
    this.#looking.set(uid, looking);
    if (began === 'again') this.#say(uid, notSeenYet);
    void this.#untilSeen(uid, running, began, looking.signal).catch(() => undefined); // it is left
  }

  async #untilSeen(
    uid: Uid,
    running: RunningVmm,
    began: 'now' | 'earlier' | 'again',
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, patience = 1 } = this.#deps;
    const first = await running.signs();
    // A console's file and a tap outlive a run, the monitor's counts do not.
    const base: Signs = {
      ...first,
      ...(began === 'now' && { consoleBytes: running.bootedAt }),
      ...(began !== 'again' && { diskOperations: 0 }),
    };
    const start = clock.elapsed();
    let last = start;
    let ranMs = 0;
    let told: LifeReport['status'] | undefined;
    for (let pause = FIRST_LOOK_MS; ; pause = told === 'False' ? LATE_LOOK_MS : LOOK_MS) {
      await clock.sleep(pause, signal);
      const signs = await running.signs();
      signal.throwIfAborted();
      const now = clock.elapsed();
      if (running.guest === 'running') ranMs += now - last;
      last = now;
      const seen = seenBetween(base, signs);
      if (seen !== undefined) {
        if (await this.#sayWithOthers(uid, alive(seen, began === 'earlier' ? undefined : now - start), signal)) return;
      } else if (ranMs >= UNSEEN_MS * patience) {
        if (told !== 'False' && (await this.#sayWithOthers(uid, unseen(ranMs, signs, running.advice), signal)))
          told = 'False';
      } else if (told === undefined && (await this.#sayWithOthers(uid, notSeenYet, signal))) told = 'Unknown';
    }
  }

  /**
   * In one commit with what others have to store: many guests boot at once.
   * @returns whether it could be stored: else it is tried at the next look
   */
  async #sayWithOthers(uid: Uid, report: LifeReport, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#deps.transactions.together(() => {
        if (!signal.aborted) this.#store(uid, report);
      });
    } catch (error) {
      this.#complain(uid, error);
      return false;
    }
    signal.throwIfAborted();
    return true;
  }

  #say(uid: Uid, report: LifeReport): void {
    try {
      this.#store(uid, report);
    } catch (error) {
      this.#complain(uid, error);
    }
  }

  #store(uid: Uid, report: LifeReport): void {
    const { store, clock, log } = this.#deps;
    store.update(uid, (vm) => guestLives(vm, report, clock.now()));
    if (report.status === 'False') log.warn('a guest shows no sign of life', { uid, message: report.message });
  }

  #complain(uid: Uid, error: unknown): void {
    this.#deps.log.warn('whether a guest lives could not be stored', { uid, error });
  }
}
