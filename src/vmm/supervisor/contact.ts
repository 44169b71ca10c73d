import type { Clock } from '../../ports/clock.ts';
import type { Processes, ProcessIdentity } from '../../ports/host.ts';
import type { Connection, GuestReport, Monitor, MonitorEvent } from './monitor.ts';

/** How often a connected VMM is asked how its guest does; an answer that takes longer makes it unreachable. */
export const ASK_MS = 5_000;
/** How often the process of a VMM that cannot be asked is looked at. */
const LOOK_MS = 250;
/** A connection that is not made in so many looks is given up, and another is tried. */
const LOOKS_A_CONNECTION = 20;
/** Right after the connection has ended the process is going too: it is looked at more often, so many times. */
const QUICK_LOOK_MS = 20;
const QUICK_LOOKS = 20;
/** For events that the connection still holds when the process has ended. */
const DRAIN_MS = 200;

export interface ContactOptions {
  readonly process: ProcessIdentity;
  readonly monitor: Monitor;
  readonly processes: Pick<Processes, 'inspect'>;
  readonly clock: Clock;
  readonly hear: (event: MonitorEvent) => void;
  readonly take: (report: GuestReport) => void;
  /** The process is there, and does not answer. */
  readonly onSilence: () => void;
  /** The process is not there any more. Called again while the contact is kept up. */
  readonly onGone: () => void;
  /** Work of each round in which the VMM is asked; undefined: none. The next round waits for it. */
  readonly meanwhile: () => Promise<void> | undefined;
  /** A round failed; the next one comes. */
  readonly complain: (error: unknown) => void;
}

/** Stays in touch with one VMM: over its monitor as long as that answers, else by its process. It has one timer. */
export class Contact {
  readonly #options: ContactOptions;
  #connection: Connection | undefined;
  #attempt: AbortController | undefined;
  #attemptLooks = 0;
  #asking = false;
  #quickLooks = 0;
  #stopTimer = (): void => undefined;
  /** Whether the timer may be set. */
  #kept = false;
  #over = false;

  constructor(options: ContactOptions) {
    this.#options = options;
  }

  /**
   * Connects to the VMM, and asks how the guest does.
   * @throws Fault `tool` when it does not answer; the signal's reason
   */
  async connect(signal: AbortSignal): Promise<void> {
    const { monitor, hear, take } = this.#options;
    const { connection, report } = await monitor.connect(signal, hear);
    if (this.#over) return connection.close();
    this.#connection = connection;
    this.#quickLooks = 0;
    void connection.closed.then(() => this.#onClose(connection));
    take(report);
  }

  /** Asks and looks from now on. */
  keep(): void {
    this.#kept = true;
    this.#rearm();
  }

  /** Asks and looks no more, and waits a moment for what the connection still holds: the process has ended. */
  async drain(): Promise<void> {
    this.#rest();
    const connection = this.#connection;
    if (!connection) return;
    const late = new AbortController();
    const wait = this.#options.clock.sleep(DRAIN_MS, late.signal).catch(() => undefined);
    await Promise.race([connection.closed, wait]);
    late.abort();
  }

  close(): void {
    this.#over = true;
    this.#rest();
    this.#connection?.close();
  }

  #rest(): void {
    this.#kept = false;
    this.#stopTimer();
    this.#attempt?.abort();
  }

  #rearm(): void {
    this.#stopTimer();
    if (!this.#kept) return;
    const ms = this.#connection ? ASK_MS : this.#quickLooks > 0 ? QUICK_LOOK_MS : LOOK_MS;
    this.#stopTimer = this.#options.clock.after(ms, () => {
      this.#tick().catch(this.#options.complain);
    });
  }

  async #tick(): Promise<void> {
    const { processes, process, onSilence, onGone, meanwhile } = this.#options;
    try {
      if (this.#connection && !this.#asking) {
        this.#ask(this.#connection);
        const work = meanwhile();
        if (work) await work;
        return;
      }
      // An answered question proves that the process lives; without one it is looked at.
      if (!(await processes.inspect(process))) return onGone();
      if (this.#quickLooks > 0) this.#quickLooks--;
      else onSilence();
      if (!this.#connection) this.#reconnect();
    } finally {
      this.#rearm();
    }
  }

  #ask(connection: Connection): void {
    this.#asking = true;
    const answered = (): void => {
      if (this.#connection === connection) this.#asking = false;
    };
    connection.ask().then(
      (report) => {
        answered();
        if (this.#connection === connection) this.#options.take(report);
      },
      answered, // it is closed: onClose sees to it
    );
  }

  #reconnect(): void {
    if (this.#attempt) {
      if (++this.#attemptLooks >= LOOKS_A_CONNECTION) this.#attempt.abort();
      return;
    }
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#attemptLooks = 0;
    const over = (): void => {
      this.#attempt = undefined;
      this.#rearm();
    };
    this.connect(attempt.signal).then(over, over); // a failure shows as silence, and is tried again
  }

  #onClose(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#asking = false;
    this.#quickLooks = QUICK_LOOKS;
    this.#rearm();
  }
}
