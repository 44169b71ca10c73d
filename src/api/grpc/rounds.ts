import type { Http2Session } from 'node:http2';

/** How often it is looked whether a piece waits for its own caller only. */
const LOOK_MS = 20;
/** A round ends then, whatever is left of it. */
const ROUND_MS = 1_000;
/** While a connection has room for a frame, a piece that does not go waits for the window of its own stream. */
const FRAME_BYTES = 16 << 10;

/**
 * The calls of one connection send in rounds, each a piece: HTTP/2's library
 * sends for the older stream while that has something to send, and a Get that
 * comes after some Lists would wait for the last byte of all of them.
 */
export class Rounds {
  readonly #session: Pick<Http2Session, 'state' | 'destroyed'>;
  /** Who has sent in this round, and whose piece has not gone yet. */
  readonly #sent = new Set<object>();
  readonly #going = new Set<object>();
  #waiting: (() => void)[] = [];
  #began = 0;
  #look: NodeJS.Timeout | undefined;

  constructor(session: Pick<Http2Session, 'state' | 'destroyed'>) {
    this.#session = session;
  }

  /** Waits until the call may send a piece. */
  async take(call: object): Promise<void> {
    if (this.#going.size === 0) this.#next();
    while (this.#sent.has(call)) {
      this.#look ??= setInterval(() => this.#judge(), LOOK_MS);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#sent.add(call);
    this.#going.add(call);
  }

  /** The piece has gone, or never will. */
  gone(call: object): void {
    if (this.#going.delete(call) && this.#going.size === 0) this.#next();
  }

  #next(): void {
    clearInterval(this.#look);
    this.#look = undefined;
    this.#sent.clear();
    this.#going.clear();
    this.#began = performance.now();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #judge(): void {
    const isLate = performance.now() - this.#began > ROUND_MS;
    if (this.#session.destroyed || isLate || (this.#session.state.remoteWindowSize ?? 0) >= FRAME_BYTES) this.#next();
  }
}
