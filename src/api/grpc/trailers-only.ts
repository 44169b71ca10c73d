import type { Http2ServerResponse, OutgoingHttpHeaders } from 'node:http2';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { mendMessage } from './message.ts';

/**
 * An answer without a message, as errors are, is told in one frame of headers.
 * Headers, nothing and trailers mean the same, but HAProxy 2.6 loses such
 * trailers: its clients would see no status at all.
 *
 * @returns what is left to write; undefined: it is written
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses
 */
export async function trailersOnly(
  { body, trailer, ...answer }: UniversalServerResponse,
  response: Http2ServerResponse,
): Promise<UniversalServerResponse | undefined> {
  if (!body || !trailer) return { ...answer, ...(body && { body }), ...(trailer && { trailer }) };
  const chunks = body[Symbol.asyncIterator]();
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    const chunk = await chunks.next();
    if (chunk.done) mendMessage(trailer); // it is known now
    return chunk;
  };
  const first = await next();
  if (!first.done) {
    let pending: typeof first | undefined = first;
    const rest: AsyncIterator<Uint8Array> = {
      next: async () => {
        const chunk = pending ?? (await next());
        pending = undefined;
        return chunk;
      },
      return: async (value: unknown) => chunks.return?.(value) ?? { done: true, value },
      throw: async (error: unknown) => chunks.throw?.(error) ?? Promise.reject(error),
    };
    return { ...answer, trailer, body: { [Symbol.asyncIterator]: () => rest } };
  }
  if (response.stream.destroyed) return undefined;
  const headers: OutgoingHttpHeaders = { ...response.getHeaders(), ':status': answer.status };
  for (const part of [answer.header, trailer])
    part?.forEach((value, name) => {
      headers[name] = value;
    });
  response.stream.respond(headers, { endStream: true });
  return undefined;
}
