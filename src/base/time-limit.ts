/**
 * A signal that aborts with another one, or after a time. Put away (`using`)
 * it leaves nothing behind: of AbortSignal.timeout and AbortSignal.any timer
 * and signals stay until the time is over, minutes after the work has ended.
 */
export class TimeLimit implements Disposable {
  readonly signal: AbortSignal;
  readonly #outer: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #onAbort: () => void;
  #isLate = false;

  /** @param outer - undefined: only the time ends it */
  constructor(outer: AbortSignal | undefined, ms: number) {
    const controller = new AbortController();
    this.signal = controller.signal;
    this.#outer = outer;
    this.#onAbort = () => controller.abort(outer?.reason);
    this.#timer = setTimeout(() => {
      this.#isLate = !controller.signal.aborted;
      controller.abort(new DOMException(`no end in ${ms} ms`, 'TimeoutError'));
    }, ms);
    this.#timer.unref();
    if (outer?.aborted) this.#onAbort();
    else outer?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Whether the time was over before the other signal aborted. */
  get isLate(): boolean {
    return this.#isLate;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener('abort', this.#onAbort);
  }
}
