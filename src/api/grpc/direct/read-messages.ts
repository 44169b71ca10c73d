import type { ServerHttp2Stream } from 'node:http2';
import type { DescMethod, Message } from '@bufbuild/protobuf';
import { messageIn } from '../request-body.ts';
import { Envelopes } from './envelopes.ts';
import { gone } from './outgoing.ts';
import type { ReadOptions } from './read-message.ts';
import { cutOff, notWhole } from './refusals.ts';

/** What has come and was not asked for yet is kept until here; then no more is read. */
const AHEAD_BYTES = 64 << 10;

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
  { input }: DescMethod,
  { maxBytes, ms, room, signal, answered }: ReadManyOptions,
): AsyncGenerator<Message> {
  const first = new AbortController();
  const late = setTimeout(() => first.abort(notWhole(ms)), ms);
  const until = AbortSignal.any([signal, answered, first.signal]);
  const envelopes = new Envelopes(maxBytes);
  /** For how much room was asked. */
  let asked = 0;
  try {
    for await (const chunk of chunksOf(stream, until)) {
      room?.received();
      envelopes.add(chunk);
      for (let bytes = envelopes.take(); bytes; bytes = envelopes.take()) {
        clearTimeout(late);
        yield messageIn(bytes, input);
        asked = 0;
        room?.requestRead();
      }
      const { neededBytes } = envelopes;
      if (envelopes.bytes === 0 || neededBytes <= asked) continue;
      asked = neededBytes;
      await room?.request(neededBytes, until);
    }
    if (envelopes.bytes > 0) throw cutOff();
  } catch (error) {
    if (!answered.aborted) throw error;
  } finally {
    clearTimeout(late);
  }
}

/** What comes, one piece after the other: of what nobody has asked for little is read. */
async function* chunksOf(stream: ServerHttp2Stream, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const chunks: Buffer[] = [];
  let waiting = 0;
  let isOver = false;
  let wake = (): void => undefined;
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    waiting += chunk.length;
    if (waiting >= AHEAD_BYTES) stream.pause();
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
      if (chunk) {
        waiting -= chunk.length;
        yield chunk;
      } else if (isOver) {
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
