/**
 * The framing in a port that has several streams in it. guest/agent/port.c has the other side, and says why it is so.
 */
export const FRAME = { open: 1, data: 2, end: 3, reset: 4, credit: 5, ping: 6, pong: 7 } as const;

export const MARK_BYTES = 16;
export const HEAD_BYTES = 12;
/** Of one frame's payload. */
export const MAX_PAYLOAD = 16 << 10;
const HELLO = Buffer.from('flintlock-hello\n');
const READY_TO = Buffer.from('flintlock-ready\n');
const STARTED = Buffer.from('flintlock-start\n');

export interface PortFrame {
  readonly type: number;
  /** 0: the port itself. */
  readonly stream: number;
  readonly payload: Uint8Array;
}

/** `started`: an agent began, which has heard no greeting; `ready`: it has heard ours; `lost`: what comes is no frame. */
export type PortNews = PortFrame | 'started' | 'ready' | 'lost';

/**
 * What a host says first.
 * @param mark - 16 bytes that nobody can know before, not all of the first four 0
 */
export const greeting = (mark: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.alloc(HEAD_BYTES + MAX_PAYLOAD), hello(mark)]);

/** What he says again where nobody answers: that nothing is begun any more was said before. */
export const hello = (mark: Uint8Array): Uint8Array => Buffer.concat([HELLO, mark]);

export function portFrame(mark: Uint8Array, type: number, stream: number, payload: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  frame.set(payload, putHead(frame, 0, { mark, type, stream, bytes: payload.length }));
  return frame;
}

/** Bytes of a stream, in parts that go one behind the other. */
export interface StreamBytes {
  readonly mark: Uint8Array;
  readonly stream: number;
  readonly parts: readonly Uint8Array[];
}

export const sizeOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, { length }) => sum + length, 0);

/** Those bytes of them all, where they lie. */
export function partsBetween(parts: readonly Uint8Array[], from: number, to: number): readonly Uint8Array[] {
  let begin = 0;
  return parts.flatMap((part) => {
    const cut = part.subarray(Math.max(0, from - begin), Math.max(0, to - begin));
    begin += part.length;
    return cut.length > 0 ? [cut] : [];
  });
}

/**
 * Bytes of a stream in as many frames as they need, one behind the other.
 * @param room - gives room for them, of at least so many bytes
 */
export function dataFrames(
  { mark, stream, parts }: StreamBytes,
  room: (bytes: number) => Buffer = Buffer.allocUnsafe,
): Uint8Array {
  const size = sizeOf(parts);
  const count = Math.ceil(size / MAX_PAYLOAD);
  const whole = room(count * HEAD_BYTES + size);
  for (let i = 0; i < count; i++) {
    const [from, to] = [i * MAX_PAYLOAD, Math.min((i + 1) * MAX_PAYLOAD, size)];
    let at = putHead(whole, i * (HEAD_BYTES + MAX_PAYLOAD), { mark, type: FRAME.data, stream, bytes: to - from });
    for (const part of partsBetween(parts, from, to)) {
      whole.set(part, at);
      at += part.length;
    }
  }
  return whole.subarray(0, count * HEAD_BYTES + size);
}

interface Head {
  readonly mark: Uint8Array;
  readonly type: number;
  readonly stream: number;
  readonly bytes: number;
}

/** @returns where the payload begins */
function putHead(into: Buffer, at: number, { mark, type, stream, bytes }: Head): number {
  into.set(mark.subarray(0, 4), at);
  into[at + 4] = type;
  into[at + 5] = 0;
  into.writeUInt16BE(bytes, at + 6);
  into.writeUInt32BE(stream, at + 8);
  return at + HEAD_BYTES;
}

/** Reads what an agent sends. It holds one frame at most, or 31 bytes of what may be the answer to a greeting. */
export class PortDecoder {
  #mark: Buffer;
  #isReady = false;
  #rest: Buffer = Buffer.alloc(0);

  constructor(mark: Uint8Array) {
    this.#mark = Buffer.from(mark);
  }

  /** From now on the answer to another greeting is waited for. */
  greetAgain(mark: Uint8Array): void {
    this.#mark = Buffer.from(mark);
    this.#isReady = false;
  }

  /** The payloads lie in `bytes` where they can. After `lost` nothing comes any more. */
  *push(bytes: Uint8Array): Generator<PortNews> {
    let piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (this.#isReady && this.#rest.length > 0) {
      // Only what belongs to the frame that was begun is put together: the others are larger than all else that is done here.
      piece = this.#complete(piece);
      const news = this.#frame();
      if (news !== undefined) yield news;
      else if (piece.length === 0) return;
      if (news === 'lost') return;
    }
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    for (;;) {
      const news = this.#isReady ? this.#frame() : this.#look();
      if (news === undefined) break;
      yield news;
      if (news === 'lost') break;
    }
    // What is kept must not keep a large piece.
    this.#rest = Buffer.from(this.#rest);
  }

  /** Adds to the frame that was begun what belongs to it. @returns the rest */
  #complete(piece: Buffer): Buffer {
    let left = piece;
    const add = (end: number): void => {
      const taken = left.subarray(0, Math.max(0, end - this.#rest.length));
      left = left.subarray(taken.length);
      this.#rest = Buffer.concat([this.#rest, taken]);
    };
    add(HEAD_BYTES);
    // One that is too long is no frame, as it is found to be next.
    if (this.#rest.length >= HEAD_BYTES) add(HEAD_BYTES + Math.min(MAX_PAYLOAD, this.#rest.readUInt16BE(6)));
    return left;
  }

  /** The answer to a greeting that was said twice, said twice. No mark begins as it does. */
  #passAnswers(): boolean {
    while (this.#rest[0] === READY_TO[0]) {
      if (this.#rest.length < READY_TO.length + MARK_BYTES) return false;
      const answer = Buffer.concat([READY_TO, this.#mark]);
      if (!this.#rest.subarray(0, answer.length).equals(answer)) break;
      this.#rest = this.#rest.subarray(answer.length);
    }
    return true;
  }

  #frame(): PortNews | undefined {
    if (!this.#passAnswers()) return undefined;
    const rest = this.#rest;
    if (rest.length < HEAD_BYTES) return undefined;
    const length = rest.readUInt16BE(6);
    if (!rest.subarray(0, 4).equals(this.#mark.subarray(0, 4)) || length > MAX_PAYLOAD) return 'lost';
    if (rest.length < HEAD_BYTES + length) return undefined;
    this.#rest = rest.subarray(HEAD_BYTES + length);
    return {
      type: rest.readUInt8(4),
      stream: rest.readUInt32BE(8),
      payload: rest.subarray(HEAD_BYTES, HEAD_BYTES + length),
    };
  }

  #look(): PortNews | undefined {
    const answer = Buffer.concat([READY_TO, this.#mark]);
    const ready = this.#rest.indexOf(answer);
    const started = this.#rest.indexOf(STARTED);
    if (started >= 0 && (ready < 0 || started < ready)) {
      this.#rest = this.#rest.subarray(started + STARTED.length);
      return 'started';
    }
    if (ready >= 0) {
      this.#rest = this.#rest.subarray(ready + answer.length);
      this.#isReady = true;
      return 'ready';
    }
    this.#rest = this.#rest.subarray(Math.max(0, this.#rest.length - answer.length + 1));
    return undefined;
  }
}
