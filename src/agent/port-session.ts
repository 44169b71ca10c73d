import { Fault } from '../domain/fault.ts';
import type { Channel } from '../ports/channel.ts';
import type { Clock } from '../ports/clock.ts';
import {
  dataFrames,
  FRAME,
  greeting,
  hello,
  PortDecoder,
  type PortFrame,
  portFrame,
  type StreamBytes,
} from './port-frames.ts';
import { HOST_WINDOW, PortStream } from './port-stream.ts';
import type { SpareBuffers } from './spare-buffers.ts';

export interface SessionDeps {
  readonly clock: Pick<Clock, 'after'>;
  /** Whether the guest's CPUs run: one that is paused answers nobody. */
  isRunning(): boolean;
  /** So many bytes that nobody can guess. */
  randomBytes(count: number): Uint8Array;
  /** Where frames are put together that are on their way, of all sessions. */
  readonly spare: SpareBuffers;
}

/** So often an agent is asked whether it is there, in milliseconds; so long it may take for its answer. */
const PING_MS = 10_000;
/**
 * So long, and twice as long each time, it is waited for an answer to a greeting. One is lost where a guest's kernel hands it on before it knows
 * that the port was opened anew: what the agent answers then is to nobody.
 */
const GREET_MS = 1_000;
const GREET_MOST_MS = 16_000;
/** More than one microVM is asked for at once; the agent has room for 128. */
const MAX_STREAMS = 100;

/**
 * One meeting with the agent behind a port: from a greeting until the channel
 * is closed, the agent begins anew, or it does not answer any more.
 */
export class PortSession {
  /** Resolves when an agent has answered the greeting: in a guest that boots this takes a while, without one for ever. */
  readonly ready: Promise<void>;
  /** Resolves when it is over, with why. */
  readonly over: Promise<string>;
  readonly hasHalves = true;
  readonly #channel: Channel;
  readonly #deps: SessionDeps;
  readonly #streams = new Map<number, PortStream>();
  readonly #stop = new AbortController();
  readonly #onReady: () => void;
  readonly #onOver: (why: string) => void;
  #mark: Uint8Array;
  readonly #decoder: PortDecoder;
  #nextStream = 1;
  #isReady = false;
  #isOver = false;
  #heard = false;
  #stopTimer = (): void => undefined;

  /** @param channel - taken over: it is closed when the session is over */
  constructor(channel: Channel, deps: SessionDeps) {
    this.#channel = channel;
    this.#deps = deps;
    const ready = Promise.withResolvers<void>();
    const over = Promise.withResolvers<string>();
    this.ready = ready.promise;
    this.over = over.promise;
    this.#onReady = ready.resolve;
    this.#onOver = over.resolve;
    this.#mark = this.#newMark();
    this.#decoder = new PortDecoder(this.#mark);
    this.#greet();
    void this.#read();
  }

  /**
   * A stream to a port of the agent's.
   * @throws Fault `full` where there are too many; `tool` when the session is over
   */
  open(port: number): PortStream {
    if (this.#isOver || !this.#isReady) throw new Fault('tool', 'The guest agent is not there');
    if (this.#streams.size >= MAX_STREAMS)
      throw new Fault('full', `The guest agent has ${MAX_STREAMS} streams open: try again when one has ended`);
    const id = this.#nextStream++;
    const forget = (): void => void this.#streams.delete(id);
    const stream = new PortStream(id, {
      data: (whose, parts) => this.#send({ mark: this.#mark, stream: whose, parts }),
      end: (whose) => void this.#frame(FRAME.end, whose).catch(() => undefined),
      forget,
      reset: (whose) => {
        forget();
        void this.#frame(FRAME.reset, whose).catch(() => undefined);
      },
      credit: (whose, bytes) => void this.#frame(FRAME.credit, whose, u32(bytes)).catch(() => undefined),
    });
    this.#streams.set(id, stream);
    const wanted = Buffer.alloc(6);
    wanted.writeUInt16BE(port, 0);
    wanted.writeUInt32BE(HOST_WINDOW, 2);
    void this.#frame(FRAME.open, id, wanted).catch(() => undefined); // its first read tells
    return stream;
  }

  close(why = 'it was let go of'): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopTimer();
    this.#stop.abort(new Error(why));
    this.#channel.close();
    const failure = new Fault('tool', `The guest agent is gone: ${why}`);
    for (const stream of this.#streams.values()) stream.fail(failure);
    this.#streams.clear();
    this.#onOver(why);
  }

  async #read(): Promise<void> {
    try {
      for await (const piece of this.#channel.read(this.#stop.signal))
        for (const news of this.#decoder.push(piece)) {
          if (this.#isOver) return;
          this.#heard = true;
          if (news === 'lost') return this.close('it began anew, or lost the thread');
          if (news === 'ready') this.#begin();
          else if (news === 'started') this.#greetAgain();
          else this.#take(news);
        }
      this.close('the channel to it was closed');
    } catch (error) {
      this.close(error instanceof Error ? error.message : String(error));
    }
  }

  #begin(): void {
    this.#stopTimer();
    this.#isReady = true;
    this.#onReady();
    this.#ask();
  }

  /** What was sent before it began it has perhaps not read. */
  #greetAgain(): void {
    this.#mark = this.#newMark();
    this.#decoder.greetAgain(this.#mark);
    this.#greet();
  }

  #greet(): void {
    this.#stopTimer();
    const mark = this.#mark;
    const isAsked = (): boolean => !this.#isOver && !this.#isReady && this.#mark === mark;
    const say = (bytes: Uint8Array, ms: number): void => {
      // Where nobody reads nothing more is said.
      this.#channel.write(bytes).then(
        () => {
          if (isAsked())
            this.#stopTimer = this.#deps.clock.after(ms, () => {
              if (isAsked()) say(hello(mark), Math.min(2 * ms, GREET_MOST_MS));
            });
        },
        (error: unknown) => this.close(error instanceof Error ? error.message : 'closed'),
      );
    };
    say(greeting(mark), GREET_MS);
  }

  #take({ type, stream: id, payload }: PortFrame): void {
    const stream = this.#streams.get(id);
    if (!stream) return; // of one that we have closed
    switch (type) {
      case FRAME.data:
        if (stream.take(payload)) return;
        stream.close();
        return;
      case FRAME.end:
        stream.takeEnd();
        return;
      case FRAME.credit:
        if (payload.length === 4) stream.takeCredit(Buffer.from(payload).readUInt32BE());
        return;
      case FRAME.reset:
        this.#streams.delete(id);
        stream.fail(new Fault('tool', `The guest agent closed the stream${reasonIn(payload)}`));
        return;
      default: // of a newer agent
    }
  }

  /** Asks whether it is there, as long as it may answer. */
  #ask(): void {
    this.#heard = !this.#deps.isRunning();
    void this.#frame(FRAME.ping, 0).catch(() => undefined);
    this.#stopTimer = this.#deps.clock.after(PING_MS, () => {
      if (this.#isOver) return;
      if (this.#heard || !this.#deps.isRunning()) this.#ask();
      else this.close(`it has not answered for ${PING_MS / 1000} s`);
    });
  }

  /** What was sent leaves its room to the next. What could not be sent may still be held by the channel. */
  async #send(bytes: StreamBytes): Promise<void> {
    const { spare } = this.#deps;
    const frames = dataFrames(bytes, (size) => spare.take(size));
    await this.#channel.write(frames);
    spare.keep(frames);
  }

  #frame(type: number, stream: number, payload: Uint8Array = new Uint8Array()): Promise<void> {
    return this.#channel.write(portFrame(this.#mark, type, stream, payload));
  }

  #newMark(): Uint8Array {
    const mark = this.#deps.randomBytes(16);
    mark[0] = (mark[0] ?? 0) | 1; // zeros are what is between
    return mark;
  }
}

const u32 = (value: number): Uint8Array => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const reasonIn = (payload: Uint8Array): string =>
  payload.length === 0
    ? ''
    : `: ${Buffer.from(payload)
        .toString('latin1')
        .replace(/[^\x20-\x7e]/g, '?')
        .slice(0, 200)}`;
