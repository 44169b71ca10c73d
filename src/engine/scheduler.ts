import type { Uid } from '../domain/microvm.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Wake } from '../ports/wake.ts';

/** Why a look was cut short. */
export class Interrupted extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'Interrupted';
  }
}

/** After a look that failed in a way that nobody foresaw: soon enough to heal, too late to spin. */
const UNFORESEEN_MS = 10_000;

/**
 * Looks at one record, a microVM's where nothing else is said, within the signal.
 * @returns when to look again, in milliseconds since 1970; undefined: when woken
 */
export type Look<K extends string = Uid> = (key: K, signal: AbortSignal) => Promise<number | undefined>;

interface Task {
  again: boolean;
  abort: AbortController | undefined;
  done: Promise<void>;
  cancelTimer: (() => void) | undefined;
}

/**
 * One queue for each record: never two looks at one at once, and a slow one
 * delays no other. A wake during a look means one more look after it.
 */
export class Scheduler<K extends string = Uid> implements Wake<K> {
  readonly #tasks = new Map<K, Task>();
  readonly #look: Look<K>;
  readonly #clock: Clock;
  readonly #log: Log;
  #stopped = false;

  constructor(look: Look<K>, { clock, log }: { clock: Clock; log: Log }) {
    this.#look = look;
    this.#clock = clock;
    this.#log = log;
  }

  wake(key: K): void {
    if (this.#stopped) return;
    const task = this.#tasks.get(key);
    if (task?.abort) {
      task.again = true;
      return;
    }
    task?.cancelTimer?.();
    const fresh: Task = { again: false, abort: new AbortController(), done: Promise.resolve(), cancelTimer: undefined };
    this.#tasks.set(key, fresh);
    fresh.done = this.#run(key, fresh);
  }

  interrupt(key: K): void {
    this.#tasks.get(key)?.abort?.abort(new Interrupted('another change came first'));
    this.wake(key);
  }

  /** How many are being looked at, and how many will be when their time has come. */
  depth(): { readonly looking: number; readonly delayed: number } {
    const looking = [...this.#tasks.values()].filter(({ abort }) => abort !== undefined).length;
    return { looking, delayed: this.#tasks.size - looking };
  }

  /** Interrupts every look and waits for their ends. No look begins afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const task of this.#tasks.values()) {
      task.cancelTimer?.();
      task.again = false;
      task.abort?.abort(new Interrupted('the daemon ends'));
    }
    await Promise.all([...this.#tasks.values()].map((task) => task.done));
    this.#tasks.clear();
  }

  /** Resolves when the looks under way at these have ended. */
  async settled(keys: readonly K[]): Promise<void> {
    await Promise.all(keys.map((key) => this.#tasks.get(key)?.done));
  }

  async #run(key: K, task: Task): Promise<void> {
    let next: number | undefined;
    do {
      task.again = false;
      const abort = new AbortController();
      task.abort = abort;
      try {
        next = await this.#look(key, abort.signal);
      } catch (error) {
        if (abort.signal.aborted) next = undefined;
        else {
          this.#log.error('a look at a record failed', { key, error });
          next = this.#clock.now() + UNFORESEEN_MS;
        }
      }
    } while (task.again && !this.#stopped);
    task.abort = undefined;
    if (next === undefined || this.#stopped) {
      if (this.#tasks.get(key) === task) this.#tasks.delete(key);
    } else task.cancelTimer = this.#clock.after(Math.max(0, next - this.#clock.now()), () => this.wake(key));
  }
}
