import { Fault } from '../domain/fault.ts';
import { partsBetween, sizeOf } from './port-frames.ts';

/** What a stream may have on its way to us: its reader is told nothing of the rest until he has taken this. */
export const HOST_WINDOW = 256 << 10;
/** What every agent takes of each stream before it gives more: guest/agent/agent.h. */
const GUEST_WINDOW = 64 << 10;
/** More than that none can give, whatever it says. */
const MAX_GUEST_WINDOW = 1 << 20;

/** So much is handed on at once, where more has come. */
const MAX_TOGETHER = 64 << 10;
/** So many times its length may be kept for a piece. */
const MOST_KEPT = 4;

/** What a stream needs of its port. */
export interface StreamPort {
  /** Any number of bytes that the stream may send, in parts that go one behind the other. */
  data(stream: number, parts: readonly Uint8Array[]): Promise<void>;
  end(stream: number): void;
  reset(stream: number): void;
  /** Nothing of it comes any more, and nothing has to be said. */
  forget(stream: number): void;
  credit(stream: number, bytes: number): void;
}

/** One stream of a port: bytes both ways, each way with a bound on what is on its way. */
export class PortStream {
  readonly #id: number;
  readonly #port: StreamPort;
  readonly #pieces: Uint8Array[] = [];
  #held = 0;
  #untold = 0;
  #credit = GUEST_WINDOW;
  #ended = false;
  #isEndSent = false;
  /** Why nothing comes any more, where it broke off. */
  #failure: Fault | undefined;
  #over = false;
  #wakeReader = (): void => undefined;
  readonly #writers: (() => void)[] = [];

  constructor(id: number, port: StreamPort) {
    this.#id = id;
    this.#port = port;
  }

  /**
   * Sends. Resolves when the last of it is on its way: who does not read in the guest holds it up.
   * @throws Fault `tool` when the stream is over
   */
  async write(...parts: readonly Uint8Array[]): Promise<void> {
    const size = sizeOf(parts);
    for (let from = 0; from < size; ) {
      if (this.#over) throw this.#failure ?? new Fault('tool', 'The stream to the guest agent is closed');
      if (this.#credit === 0) {
        await new Promise<void>((resolve) => this.#writers.push(resolve));
        continue;
      }
      const count = Math.min(this.#credit, size - from);
      this.#credit -= count;
      await this.#port.data(this.#id, partsBetween(parts, from, from + count));
      from += count;
    }
  }

  /** No more is sent. */
  end(): void {
    if (this.#over || this.#isEndSent) return;
    this.#isEndSent = true;
    this.#port.end(this.#id);
  }

  /**
   * Lets go of it; the agent ends what it runs for it. Where both sides have ended, what was sent last is still taken.
   * @param isAnswered - an agent that has ended it too has let go of it: a word more would only wake it
   */
  close(isAnswered = false): void {
    if (this.#over) return;
    if (this.#ended && (this.#isEndSent || isAnswered)) this.#port.forget(this.#id);
    else this.#port.reset(this.#id);
    this.fail(new Fault('tool', 'The stream to the guest agent is closed'));
  }

  /**
   * What comes, until the agent ends it. Read once.
   * @throws Fault `tool` where it broke off
   */
  async *read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.#next();
      if (piece !== undefined) {
        this.#held -= piece.length;
        this.#untold += piece.length;
        if (this.#untold >= HOST_WINDOW / 4 && !this.#over) {
          this.#port.credit(this.#id, this.#untold);
          this.#untold = 0;
        }
        yield piece;
      } else if (this.#failure !== undefined) throw this.#failure;
      else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
    }
  }

  /** What has come, as one: who reads does more for each piece than it takes to put them together. */
  #next(): Uint8Array | undefined {
    let [count, size] = [0, 0];
    for (const { length } of this.#pieces) {
      if (count > 0 && size + length > MAX_TOGETHER) break;
      count++;
      size += length;
    }
    return count > 1 ? Buffer.concat(this.#pieces.splice(0, count), size) : this.#pieces.shift();
  }

  /** @returns false where the agent sends more than it may */
  take(bytes: Uint8Array): boolean {
    if (this.#ended || this.#over) return true;
    if (this.#held + this.#untold + bytes.length > HOST_WINDOW) return false;
    this.#held += bytes.length;
    // A small one must not keep the whole piece that it came in.
    const isLarge = bytes.length * MOST_KEPT >= bytes.buffer.byteLength;
    this.#pieces.push(isLarge ? bytes : new Uint8Array(bytes));
    this.#wakeReader();
    return true;
  }

  takeCredit(bytes: number): void {
    this.#credit = Math.min(MAX_GUEST_WINDOW, this.#credit + bytes);
    for (const resume of this.#writers.splice(0)) resume();
  }

  takeEnd(): void {
    this.#ended = true;
    this.#wakeReader();
  }

  fail(why: Fault): void {
    if (this.#over) return;
    this.#over = true;
    this.#failure = why;
    this.#wakeReader();
    for (const resume of this.#writers.splice(0)) resume();
  }
}
