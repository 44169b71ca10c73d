import { Fault } from '../domain/fault.ts';

interface Closable {
  /** See `AgentConnection.close`. */
  close(isAnswered?: boolean): void;
}

/**
 * One connection to an agent on which something is sent while something is read. It is closed when this is disposed of, unless it
 * is kept, or the signal aborts; what goes wrong with either is told to who waits by `or`.
 */
export class Exchange implements Disposable {
  readonly #connection: Closable;
  readonly #signal: AbortSignal;
  readonly #failed = Promise.withResolvers<never>();
  readonly #onAbort: () => void;
  #isOver = false;
  #isKept = false;
  #isAnswered = false;

  /** @throws the signal's reason; then the connection is closed */
  constructor(connection: Closable, signal: AbortSignal) {
    this.#connection = connection;
    this.#signal = signal;
    this.#failed.promise.catch(() => undefined); // it may come when nobody waits any more
    this.#onAbort = () => {
      connection.close();
      this.fail(signal.reason);
    };
    if (signal.aborted) {
      connection.close();
      throw signal.reason;
    }
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** What was to be said is said: the connection serves for more, and is not closed when this is disposed of. */
  keep(): void {
    this.#isKept = true;
  }

  /** The other side has said its last, and lets go by itself. */
  answered(): void {
    this.#isAnswered = true;
  }

  /** Whether nobody reads any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  fail(why: unknown): void {
    this.#failed.reject(why);
  }

  /** Sends beside what is read. That the connection is gone its reader tells better. */
  send(work: () => Promise<void>): Promise<void> {
    const sent = work();
    sent.catch((error: unknown) => {
      if (!(error instanceof Fault && error.kind === 'tool')) this.fail(error);
    });
    return sent;
  }

  /** @throws what has gone wrong meanwhile */
  or<T>(other: Promise<T>): Promise<T> {
    return Promise.race([this.#failed.promise, other]);
  }

  /** What to throw for what was caught: once the signal has aborted, its reason is why. */
  reasonOf(error: unknown): unknown {
    return this.#signal.aborted ? this.#signal.reason : error;
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    if (!this.#isKept) this.#connection.close(this.#isAnswered);
  }
}
