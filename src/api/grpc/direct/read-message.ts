import type { ServerHttp2Stream } from 'node:http2';
import type { DescMessage, Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { CallFlow } from '../../flow/flow.ts';
import { HEAD_BYTES, messageIn } from '../request-body.ts';
import { Envelopes } from './envelopes.ts';
import { gone } from './outgoing.ts';
import { cutOff, notWhole } from './refusals.ts';

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
  const envelopes = new Envelopes(maxBytes);
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
    const isBegun = envelopes.bytes >= HEAD_BYTES;
    room?.received();
    try {
      envelopes.add(chunk);
    } catch (error) {
      fail(error);
      return;
    }
    const { bytes, neededBytes } = envelopes;
    if (!isBegun && bytes >= HEAD_BYTES && bytes < neededBytes) makeRoom(neededBytes);
    if (bytes > neededBytes) fail(new ConnectError('The request has more than one message', Code.Unimplemented));
  };
  const onEnd = (): void => {
    try {
      if (stream.aborted) throw gone(); // Node ends what it has no more of
      resolve(messageOf(envelopes, options.desc));
      done();
    } catch (error) {
      fail(error);
    }
  };
  const onAbort = (): void => fail(signal.reason);
  const late = setTimeout(() => fail(notWhole(options.ms)), options.ms);
  if (signal.aborted) {
    onAbort();
    return promise;
  }
  signal.addEventListener('abort', onAbort);
  stream.on('data', onData);
  stream.on('end', onEnd);
  return promise;
}

function messageOf(envelopes: Envelopes, desc: DescMessage): Message {
  if (envelopes.bytes === 0) throw new ConnectError('The request has no message', Code.Unimplemented);
  const bytes = envelopes.take();
  if (!bytes) throw cutOff();
  return messageIn(bytes, desc);
}
