import { connect, type Socket } from 'node:net';
import { orAborted } from '../../base/or-aborted.ts';
import { PING_MS, PONG_MS, WINDOW_BYTES } from '../connection-numbers.ts';
import { PlainHeaders } from '../plain-headers.ts';
import { Answer, END_HEADERS, END_STREAM, NotTaken, STREAM } from './call.ts';
import {
  type Frame,
  FrameReader,
  frame,
  KIND,
  MOST_BYTES,
  opening,
  settingOf,
  WINDOW_SIZE,
  windowFrame,
} from './frames.ts';
import { type Header, packHeaders } from './headers.ts';

/** Until a daemon says otherwise it takes so much. */
const FIRST_WINDOW = 65_535;
const CANCEL = 8;

/** An answer that goes on. */
export interface StreamAnswer {
  readonly status: number;
  readonly headers: readonly Header[];
  /** What comes, until its end. @throws StreamReset; Error with the code `ECONNRESET` where it was cut, `ETIMEDOUT` where nobody answers */
  readonly body: AsyncIterable<Uint8Array>;
  /** Filled at the end of the body. */
  readonly trailers: PlainHeaders;
}

/**
 * One call of gRPC that goes on, both ways, over a connection of its own to a unix socket: as `quickCall`. Nothing of `body` is asked for before the daemon
 * has begun to speak HTTP/2: until then the call can be made in another way.
 *
 * @throws NotTaken; StreamReset; Error as `StreamAnswer.body`; what `body` throws; the signal's reason
 */
export async function openStream(
  path: string,
  headers: readonly Header[],
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<StreamAnswer> {
  signal.throwIfAborted();
  const stream = new QuickStream(connect(path), signal);
  try {
    await orAborted(stream.open, signal);
    stream.send(headers, body);
    const { status, headers: had } = await orAborted(stream.begun, signal);
    return { status, headers: had, body: stream.read(), trailers: stream.trailers };
  } catch (error) {
    stream.close();
    throw error;
  }
}

class QuickStream {
  readonly trailers = new PlainHeaders();
  /** Resolves when the daemon speaks HTTP/2. @throws NotTaken */
  readonly open: Promise<void>;
  /** Resolves with the first headers. */
  readonly begun: Promise<{ readonly status: number; readonly headers: readonly Header[] }>;
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #reader = new FrameReader();
  readonly #answer = new Answer((bytes) => this.#came(bytes));
  readonly #opened = Promise.withResolvers<void>();
  readonly #begun = Promise.withResolvers<{ readonly status: number; readonly headers: readonly Header[] }>();
  readonly #pieces: Buffer[] = [];
  /** How much of it was taken, and the daemon not told yet. */
  #untold = 0;
  /** What the daemon takes yet, of this stream and in all. */
  #room = { stream: FIRST_WINDOW, connection: FIRST_WINDOW, initial: FIRST_WINDOW };
  #failure: { readonly error: unknown } | undefined;
  #isOver = false;
  #wakeReader = (): void => undefined;
  #wakeWriter = (): void => undefined;
  #pong: NodeJS.Timeout | undefined;
  readonly #pings: NodeJS.Timeout;
  readonly #onAbort = (): void => this.#fail(this.#signal.reason);

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    this.open = this.#opened.promise;
    this.begun = this.#begun.promise;
    // Who waits for them comes later, or is told another thing.
    this.open.catch(() => undefined);
    this.begun.catch(() => undefined);
    socket.once('connect', () => socket.write(opening(WINDOW_BYTES)));
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const one of this.#reader.take(chunk)) this.#take(one);
      } catch (error) {
        this.#fail(this.#reader.isHttp2 ? error : new NotTaken(error));
      }
    });
    socket.on('error', (error) => this.#fail(this.#reader.isHttp2 ? error : new NotTaken(error)));
    socket.on('close', () => {
      const cut = Object.assign(new Error('the connection was cut'), { code: 'ECONNRESET' });
      this.#fail(this.#reader.isHttp2 ? cut : new NotTaken(cut));
    });
    signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#pings = setInterval(() => this.#ping(), PING_MS);
  }

  /** What goes wrong with `body` is told to who reads. */
  send(headers: readonly Header[], body: AsyncIterable<Uint8Array>): void {
    this.#socket.write(frame(KIND.headers, END_HEADERS, STREAM, packHeaders(headers)));
    this.#pump(body).catch((error: unknown) => this.#fail(error));
  }

  async *read(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const piece = this.#pieces.shift();
        if (piece) {
          this.#taken(piece.length);
          yield piece;
        } else if (this.#failure) throw this.#failure.error;
        else if (this.#answer.isWhole) return;
        else
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve;
          });
      }
    } finally {
      this.close();
    }
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#pings);
    clearTimeout(this.#pong);
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#wakeWriter();
    if (this.#reader.isHttp2 && !this.#answer.isWhole)
      this.#socket.end(frame(KIND.reset, 0, STREAM, Buffer.from([0, 0, 0, CANCEL])));
    this.#socket.destroySoon();
  }

  async #pump(body: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const piece of body) {
      for (let from = 0; from < piece.length; ) {
        const count = Math.min(piece.length - from, MOST_BYTES, this.#room.stream, this.#room.connection);
        if (this.#isOver || this.#answer.isWhole) return;
        if (count <= 0) {
          await new Promise<void>((resolve) => {
            this.#wakeWriter = resolve;
          });
          continue;
        }
        this.#room.stream -= count;
        this.#room.connection -= count;
        this.#write(frame(KIND.data, 0, STREAM, piece.subarray(from, from + count)));
        from += count;
      }
      if (this.#isOver || this.#answer.isWhole) return;
    }
    this.#write(frame(KIND.data, END_STREAM, STREAM, Buffer.alloc(0)));
  }

  #write(bytes: Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  #take(one: Frame): void {
    const { kind, flags, stream, payload } = one;
    const isAnswer = (flags & 1) !== 0;
    if (kind === KIND.settings && !isAnswer) {
      const initial = settingOf(payload, WINDOW_SIZE);
      if (initial !== undefined) {
        this.#room.stream += initial - this.#room.initial;
        this.#room.initial = initial;
      }
    } else if (kind === KIND.window) this.#room[stream === 0 ? 'connection' : 'stream'] += payload.readUInt32BE(0);
    else if (kind === KIND.ping && isAnswer) clearTimeout(this.#pong);
    const back = this.#answer.take(one);
    if (back) this.#write(back);
    // What turns a connection away comes with or before the first settings.
    this.#opened.resolve();
    const { begun } = this.#answer;
    if (begun) this.#begun.resolve(begun);
    else if (this.#answer.isWhole) throw new RangeError('an answer ends before it has begun');
    this.#wakeWriter();
    if (!this.#answer.isWhole) return;
    for (const [name, value] of this.#answer.trailers) this.trailers.append(name, value);
    this.#wakeReader();
    this.close(); // what has come is read all the same, or is not wanted
  }

  #came(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#wakeReader();
  }

  #taken(bytes: number): void {
    this.#untold += bytes;
    if (this.#untold < WINDOW_BYTES / 2 || this.#answer.isWhole) return;
    this.#write(Buffer.concat([windowFrame(0, this.#untold), windowFrame(STREAM, this.#untold)]));
    this.#untold = 0;
  }

  #ping(): void {
    // Also where nothing has come yet: who took the connection may stand still.
    if (this.#socket.connecting) return;
    this.#write(frame(KIND.ping, 0, 0, Buffer.alloc(8)));
    this.#pong = setTimeout(
      () => this.#fail(Object.assign(new Error('the daemon does not answer any more'), { code: 'ETIMEDOUT' })),
      PONG_MS,
    );
  }

  /** The first one counts; after the end of the answer none does. */
  #fail(error: unknown): void {
    if (this.#answer.isWhole && this.#answer.begun) return;
    this.#failure ??= { error };
    this.#opened.reject(error);
    this.#begun.reject(error);
    this.#wakeReader();
    this.close();
  }
}
