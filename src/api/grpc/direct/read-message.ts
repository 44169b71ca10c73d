import type { ServerHttp2Stream } from 'node:http2';
import type { DescMessage, Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { CallFlow } from '../../flow/flow.ts';
import { HEAD_BYTES, isPacked, joined, lengthIn, messageIn, notSaidHow } from '../request-body.ts';
import { gone } from './outgoing.ts';

export interface ReadOptions {
  readonly desc: DescMessage;
  readonly maxBytes: number;
  /** So long it may take until the request is whole. */
  readonly ms: number;
  /** Where a long message has room until it is read; absent: none is asked for. */
  readonly room: Pick<CallFlow, 'request' | 'received' | 'requestRead'> | undefined;
  readonly signal: AbortSignal;
}

/**
 * The one message of a request, once the request is whole.
 * @throws ConnectError, Fault `invalid`; the signal's reason
 */
export function readMessage(stream: ServerHttp2Stream, options: ReadOptions): Promise<Message> {
  const { maxBytes, room, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<Message>();
  const chunks: Buffer[] = [];
  let size = 0;
  /** Until the head is there it is not known. */
  let needed = HEAD_BYTES;
  const done = (): void => {
    clearTimeout(late);
    stream.off('data', onData);
    stream.off('end', onEnd);
    signal.removeEventListener('abort', onAbort);
    room?.requestRead();
  };
  const fail = (reason: unknown): void => {
    done();
    reject(reason);
  };
  const makeRoom = (bytes: number): void => {
    if (!room) return;
    // At once where there is room, or where the message is short: then nothing has been stopped.
    stream.pause();
    room.request(bytes, signal).then(() => stream.resume(), fail);
  };
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    const before = size;
    size += chunk.length;
    room?.received();
    if (before < HEAD_BYTES && size >= HEAD_BYTES) {
      const [first = chunk] = chunks;
      needed = HEAD_BYTES + lengthIn(first.length >= HEAD_BYTES ? first : joined(chunks));
      if (needed > HEAD_BYTES + maxBytes) {
        fail(tooLong(needed - HEAD_BYTES, maxBytes));
        return;
      }
      if (size < needed) makeRoom(needed);
    }
    if (size > needed) fail(new ConnectError('The request has more than one message', Code.Unimplemented));
  };
  const onEnd = (): void => {
    try {
      if (stream.aborted) throw gone(); // Node ends what it has no more of
      resolve(messageOf(chunks, size, needed, options.desc));
      done();
    } catch (error) {
      fail(error);
    }
  };
  const onAbort = (): void => fail(signal.reason);
  const late = setTimeout(
    () => fail(new ConnectError(`The request was not whole after ${options.ms / 1_000} s`, Code.DeadlineExceeded)),
    options.ms,
  );
  if (signal.aborted) {
    onAbort();
    return promise;
  }
  signal.addEventListener('abort', onAbort);
  stream.on('data', onData);
  stream.on('end', onEnd);
  return promise;
}

function messageOf(chunks: readonly Buffer[], size: number, needed: number, desc: DescMessage): Message {
  if (size === 0) throw new ConnectError('The request has no message', Code.Unimplemented);
  if (size < needed) throw cutOff();
  const envelope = joined(chunks);
  if (isPacked(envelope)) throw notSaidHow();
  return messageIn(envelope.subarray(HEAD_BYTES), desc);
}

export const cutOff = (): ConnectError =>
  new ConnectError('The request ends in the middle of its message', Code.InvalidArgument);

export const tooLong = (bytes: number, maxBytes: number): ConnectError =>
  new ConnectError(`The message has ${bytes} bytes: more than the ${maxBytes} that are read`, Code.ResourceExhausted);
