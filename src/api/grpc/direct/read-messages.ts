import type { ServerHttp2Stream } from 'node:http2';
import { type DescMethod, fromBinary, type Message } from '@bufbuild/protobuf';
import { inTime } from '../in-time.ts';
import { checkedBody, HEAD_BYTES, lengthIn } from '../request-body.ts';
import { gone } from './outgoing.ts';
import { cutOff, type ReadOptions, tooLong } from './read-message.ts';

export interface ReadManyOptions extends Omit<ReadOptions, 'desc'> {
  /** The call has its answer: who still waits for more of the request hears that it has ended. */
  readonly answered: AbortSignal;
}

/**
 * The messages of a request that goes on, as they come; of the first it is waited for as long as for a whole one.
 * @throws ConnectError, Fault `invalid`; the signal's reason
 */
export async function* readMessages(
  stream: ServerHttp2Stream,
  method: DescMethod,
  { maxBytes, ms, room, signal, answered }: ReadManyOptions,
): AsyncGenerator<Message> {
  const form = { contentType: 'application/grpc+proto', packing: 'identity' as const };
  const until = AbortSignal.any([signal, answered]);
  const body = checkedBody(chunksOf(stream, until), { ...form, method, maxBytes, signal, ...(room && { room }) });
  try {
    for await (const envelope of inTime(body, ms, true)) {
      if (envelope.length < HEAD_BYTES) throw cutOff();
      const length = lengthIn(envelope);
      if (length > maxBytes) throw tooLong(length, maxBytes);
      if (envelope.length < HEAD_BYTES + length) throw cutOff();
      yield fromBinary(method.input, envelope.subarray(HEAD_BYTES));
    }
  } catch (error) {
    if (!answered.aborted) throw error;
  }
}

/** What comes, one piece after the other: of what nobody has asked for nothing is read. */
async function* chunksOf(stream: ServerHttp2Stream, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const chunks: Buffer[] = [];
  let isOver = false;
  let wake = (): void => undefined;
  const onData = (chunk: Buffer): void => {
    stream.pause();
    chunks.push(chunk);
    wake();
  };
  const onEnd = (): void => {
    isOver = true;
    wake();
  };
  const onAbort = (): void => wake();
  stream.on('data', onData).pause();
  stream.once('end', onEnd).once('close', onEnd);
  signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      signal.throwIfAborted();
      const chunk = chunks.shift();
      if (chunk) yield chunk;
      else if (isOver) {
        if (stream.aborted) throw gone();
        return;
      } else
        await new Promise<void>((resolve) => {
          wake = resolve;
          stream.resume();
        });
    }
  } finally {
    stream.off('data', onData).off('end', onEnd).off('close', onEnd);
    signal.removeEventListener('abort', onAbort);
  }
}
