import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import { createTransport } from '@connectrpc/connect/protocol-grpc';
import { PlainHeaders } from '../plain-headers.ts';
import type { Reach } from '../reach.ts';
import { MOST_REQUEST_BYTES, NotTaken, quickCall, StreamReset } from './call.ts';
import type { Header } from './headers.ts';

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
 * Calls with one message there and back go to a unix socket by what is quickly loaded. All others, and those that were not
 * taken so, whose errors it knows how to tell, go by `whole`.
 */
export function quickTransport(socket: string, token: Reach['token'], whole: () => Promise<Transport>): Transport {
  const quick = createTransport({
    baseUrl: `http://${AUTHORITY}`,
    async httpClient({ url, header, body, signal = new AbortController().signal }) {
      const message = await joined(body);
      if (message.length > MOST_REQUEST_BYTES) throw new NotTaken(new RangeError('the message is too long'));
      const headers: Header[] = [
        ...firstOf(new URL(url).pathname),
        ...[...header.entries()],
        ...(token === undefined ? [] : [['authorization', `Bearer ${token}`] as const]),
      ];
      const answer = await quickCall(socket, headers, message, signal).catch((error: unknown) => {
        throw error instanceof StreamReset
          ? new ConnectError(error.message, CODES.get(error.reason) ?? Code.Internal, undefined, undefined, error)
          : error;
      });
      return {
        status: answer.status,
        header: asHeaders(answer.headers),
        trailer: asHeaders(answer.trailers),
        body: eachOf(answer.body),
      };
    },
    useBinaryFormat: true,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: MOST_MESSAGE_BYTES,
    readMaxBytes: MOST_MESSAGE_BYTES,
    writeMaxBytes: MOST_MESSAGE_BYTES,
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
    stream: async (...call) => (await whole()).stream(...call),
  };
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
