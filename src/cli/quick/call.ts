import { connect, type Socket } from 'node:net';
import { orAborted } from '../../base/or-aborted.ts';
import { type Frame, FrameReader, frame, KIND, MOST_BYTES, opening } from './frames.ts';
import { type Header, packHeaders, unpackHeaders } from './headers.ts';

export interface QuickAnswer {
  readonly status: number;
  readonly headers: readonly Header[];
  readonly trailers: readonly Header[];
  readonly body: readonly Buffer[];
}

/** Nobody has taken the call, for sure: it may be made again, in another way. */
export class NotTaken extends Error {
  constructor(cause: unknown) {
    super('the call was not taken', { cause });
    this.name = 'NotTaken';
  }
}

/** The daemon took the call and gave it up. */
export class StreamReset extends Error {
  /** @see https://www.rfc-editor.org/rfc/rfc9113#section-7 */
  readonly reason: number;

  constructor(reason: number) {
    super(`the daemon broke the call off (${reason})`);
    this.name = 'StreamReset';
    this.reason = reason;
  }
}

/** What is longer goes another way: it would need the server's word of how much it takes. */
export const MOST_REQUEST_BYTES = MOST_BYTES;
export const STREAM = 1;
const REFUSED_STREAM = 7;
const CANCEL = 8;

/**
 * One call of gRPC with one message there and back, over a connection of its own to a unix socket. That is a small part of
 * HTTP/2, and takes a tenth of the time that it takes to load Node's: there each TLS, HTTP/1 and HTTP/2 are one.
 *
 * @throws NotTaken; StreamReset; Error with the code `ECONNRESET` where it was cut; the signal's reason
 * @see https://www.rfc-editor.org/rfc/rfc9113
 */
export async function quickCall(
  path: string,
  headers: readonly Header[],
  body: Uint8Array,
  signal: AbortSignal,
): Promise<QuickAnswer> {
  signal.throwIfAborted();
  const socket = connect(path);
  try {
    return await orAborted(answerOf(socket, headers, body), signal);
  } catch (error) {
    if (signal.aborted && !socket.connecting)
      socket.write(frame(KIND.reset, 0, STREAM, Buffer.from([0, 0, 0, CANCEL])));
    throw error;
  } finally {
    socket.destroy();
  }
}

function answerOf(socket: Socket, headers: readonly Header[], body: Uint8Array): Promise<QuickAnswer> {
  return new Promise((resolve, reject) => {
    const reader = new FrameReader();
    const came: Buffer[] = [];
    const answer = new Answer((bytes) => void came.push(bytes));
    let isConnected = false;
    socket.once('connect', () => {
      isConnected = true;
      socket.write(Buffer.concat([opening(), ...call(headers, body)]));
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const one of reader.take(chunk)) {
          const back = answer.take(one);
          if (back) socket.write(back);
          if (answer.isWhole)
            return resolve({ status: Number.NaN, headers: [], ...answer.begun, trailers: answer.trailers, body: came });
        }
      } catch (error) {
        reject(reader.isHttp2 ? error : new NotTaken(error));
      }
    });
    socket.on('error', (error) => reject(isConnected ? error : new NotTaken(error)));
    socket.on('close', () => reject(Object.assign(new Error('the connection was cut'), { code: 'ECONNRESET' })));
  });
}

const call = (headers: readonly Header[], body: Uint8Array): readonly Buffer[] => [
  frame(KIND.headers, END_HEADERS, STREAM, packHeaders(headers)),
  frame(KIND.data, END_STREAM, STREAM, body),
];

export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;
const PADDED = 0x8;
const PRIORITY = 0x20;
const ACK = 0x1;
const PRIORITY_BYTES = 5;
/** More is no header of gRPC's. */
const MOST_BLOCK_BYTES = 1 << 20;

/** What has come of an answer. */
export class Answer {
  /** Its status and its first headers. */
  begun: { readonly status: number; readonly headers: readonly Header[] } | undefined;
  trailers: readonly Header[] = [];
  readonly #onData: (bytes: Buffer) => void;
  #block: Buffer = Buffer.alloc(0);
  #endsWithBlock = false;
  isWhole = false;

  /** @param onData - is told of its body, as it comes */
  constructor(onData: (bytes: Buffer) => void) {
    this.#onData = onData;
  }

  /** @returns what is said to it */
  take({ kind, flags, stream, payload }: Frame): Buffer | undefined {
    switch (kind) {
      case KIND.settings:
        return flags & ACK ? undefined : frame(KIND.settings, ACK, 0, Buffer.alloc(0));
      case KIND.ping:
        return flags & ACK ? undefined : frame(KIND.ping, ACK, 0, payload);
      case KIND.goaway: {
        // What was begun is ended; what is of a later number nobody has looked at.
        if (payload.readUInt32BE(0) < STREAM) throw new NotTaken(new Error('the daemon turned the connection away'));
        return undefined;
      }
      case KIND.reset: {
        const reason = payload.readUInt32BE(0);
        throw reason === REFUSED_STREAM ? new NotTaken(new StreamReset(reason)) : new StreamReset(reason);
      }
      case KIND.headers:
        this.#endsWithBlock = (flags & END_STREAM) !== 0;
        this.#addToBlock(withoutPriority(flags, withoutPadding(flags, payload)), flags);
        return undefined;
      case KIND.continuation:
        this.#addToBlock(payload, flags);
        return undefined;
      case KIND.data:
        if (stream !== STREAM) return undefined;
        this.#onData(withoutPadding(flags, payload));
        this.isWhole = (flags & END_STREAM) !== 0;
        return undefined;
      default:
        return undefined; // windows, priorities, and what there may be one day
    }
  }

  #addToBlock(part: Buffer, flags: number): void {
    this.#block = Buffer.concat([this.#block, part]);
    if (this.#block.length > MOST_BLOCK_BYTES) throw new RangeError('the headers of an answer do not end');
    if (!(flags & END_HEADERS)) return;
    const headers = unpackHeaders(this.#block);
    this.#block = Buffer.alloc(0);
    const status = statusOf(headers);
    if (this.begun) this.trailers = headers;
    else if (status >= 200) this.begun = { status, headers }; // else more is to come
    this.isWhole = this.#endsWithBlock;
  }
}

const statusOf = (headers: readonly Header[]): number =>
  Number(headers.find(([name]) => name === ':status')?.[1] ?? Number.NaN);

function withoutPadding(flags: number, payload: Buffer): Buffer {
  if (!(flags & PADDED)) return payload;
  return payload.subarray(1, payload.length - (payload[0] ?? 0));
}

const withoutPriority = (flags: number, payload: Buffer): Buffer =>
  flags & PRIORITY ? payload.subarray(PRIORITY_BYTES) : payload;
