import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import type { CommonTransportOptions } from '@connectrpc/connect/protocol';
import { createTransport } from '@connectrpc/connect/protocol-grpc';
import { PlainHeaders } from '../plain-headers.ts';
import type { Reach } from '../reach.ts';
import { MOST_REQUEST_BYTES, NotTaken, quickCall, StreamReset } from './call.ts';
import type { Header } from './headers.ts';
import { openStream } from './stream.ts';

const AUTHORITY = 'localhost';
/** No limit of ours: the daemon has its own. */
const MOST_MESSAGE_BYTES = 0xffff_ffff;
/** @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors */
const CODES: ReadonlyMap<number, Code> = new Map([
  [8, Code.Canceled],
  [11, Code.ResourceExhausted],
  [12, Code.PermissionDenied],
]);

/**
 * Calls with one message there and back go to a unix socket by what is quickly loaded, a connection for each. Those that were not
 * taken so, whose errors it knows how to tell, go by `whole`; and calls that go on, of which many may share its connection.
 *
 * @param options - `once`: of calls that go on there is one, which goes as quickly
 */
export function quickTransport(
  socket: string,
  token: Reach['token'],
  whole: () => Promise<Transport>,
  { once = false }: { readonly once?: boolean } = {},
): Transport {
  const begin = (url: string, header: Headers): Header[] => [
    ...firstOf(new URL(url).pathname),
    ...[...header.entries()],
    ...(token === undefined ? [] : [['authorization', `Bearer ${token}`] as const]),
  ];
  const quick = createTransport({
    ...LIKE_GRPC,
    async httpClient({ url, header, body, signal = new AbortController().signal }) {
      const message = await joined(body);
      if (message.length > MOST_REQUEST_BYTES) throw new NotTaken(new RangeError('the message is too long'));
      const answer = await quickCall(socket, begin(url, header), message, signal).catch(toldAsGrpc);
      return {
        status: answer.status,
        header: asHeaders(answer.headers),
        trailer: asHeaders(answer.trailers),
        body: eachOf(answer.body),
      };
    },
  });
  const quickStreams = createTransport({
    ...LIKE_GRPC,
    async httpClient({ url, header, body = eachOf([]), signal = new AbortController().signal }) {
      const answer = await openStream(socket, begin(url, header), body, signal).catch(toldAsGrpc);
      return {
        status: answer.status,
        header: asHeaders(answer.headers),
        trailer: answer.trailers as unknown as Headers,
        body: toldEachAsGrpc(answer.body),
      };
    },
  });
  return {
    async unary(...call) {
      try {
        return await quick.unary(...call);
      } catch (error) {
        if (!wasNotTaken(error)) throw error;
        return (await whole()).unary(...call);
      }
    },
    async stream(method, signal, timeoutMs, header, input, values) {
      if (!once) return (await whole()).stream(method, signal, timeoutMs, header, input, values);
      const asked = new Repeatable(input);
      try {
        return await quickStreams.stream(method, signal, timeoutMs, header, asked.read(), values);
      } catch (error) {
        if (!wasNotTaken(error)) throw error;
        return (await whole()).stream(method, signal, timeoutMs, header, asked.read(), values);
      } finally {
        asked.taken();
      }
    },
  };
}

/** What comes from somebody, which is wanted from its beginning once more where nobody has taken it. What one reader waits for the next one gets, too. */
class Repeatable<T> {
  readonly #from: AsyncIterator<T>;
  /** By their number. */
  readonly #kept = new Map<number, Promise<IteratorResult<T>>>();
  #isTaken = false;

  constructor(from: AsyncIterable<T>) {
    this.#from = from[Symbol.asyncIterator]();
  }

  async *read(): AsyncGenerator<T> {
    for (let i = 0; ; i++) {
      const next = this.#kept.get(i) ?? this.#from.next();
      this.#kept.set(i, next);
      const { done, value } = await next;
      if (this.#isTaken) this.#kept.delete(i);
      if (done) return;
      yield value;
    }
  }

  /** Nobody reads it from its beginning any more. */
  taken(): void {
    this.#isTaken = true;
  }
}

const LIKE_GRPC = {
  baseUrl: `http://${AUTHORITY}`,
  useBinaryFormat: true,
  interceptors: [],
  acceptCompression: [],
  sendCompression: null,
  compressMinBytes: MOST_MESSAGE_BYTES,
  readMaxBytes: MOST_MESSAGE_BYTES,
  writeMaxBytes: MOST_MESSAGE_BYTES,
} satisfies Partial<CommonTransportOptions>;

/** @throws always */
function toldAsGrpc(error: unknown): never {
  throw error instanceof StreamReset
    ? new ConnectError(error.message, CODES.get(error.reason) ?? Code.Internal, undefined, undefined, error)
    : error;
}

async function* toldEachAsGrpc(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    toldAsGrpc(error);
  }
}

const firstOf = (path: string): readonly Header[] => [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', path],
  [':authority', AUTHORITY],
];

const wasNotTaken = (error: unknown): boolean =>
  error instanceof NotTaken || (error instanceof ConnectError && error.cause instanceof NotTaken);

const asHeaders = (headers: readonly Header[]): Headers =>
  new PlainHeaders(headers.filter(([name]) => !name.startsWith(':'))) as unknown as Headers;

async function joined(body: AsyncIterable<Uint8Array> | undefined): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of body ?? []) parts.push(part);
  return Buffer.concat(parts);
}

async function* eachOf(parts: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* parts;
}
