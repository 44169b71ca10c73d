import { type DescMessage, type DescMethod, fromBinary, type Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { errorMessage } from '../../base/error-text.ts';
import { Fault } from '../../domain/fault.ts';
import type { CallFlow } from '../flow/flow.ts';
import { faultError } from '../status.ts';
import { unquoted } from '../unquoted.ts';
import { unpacked } from './message-packing.ts';
import { checkBytes } from './strict-bytes.ts';

/** An envelope's head: flags, and the length of its message. @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
export const HEAD_BYTES = 5;
const COMPRESSED = 1;
/** A body of one message, whose length comes last: until here it is as small as most. */
const UNSAID_BYTES = 64 << 10;

/** What the body of a request says about itself; absent: it is none of ours, and left to the library. */
interface BodyForm {
  readonly isBinary: boolean;
  readonly isFramed: boolean;
}

function formOf(contentType: string): BodyForm | undefined {
  const [, framed, format] =
    /^application\/(grpc|grpc-web|connect\+)?\+?(proto|json)?\s*(?:;|$)/i.exec(contentType.trim()) ?? [];
  if (framed === undefined && format === undefined) return undefined;
  return { isFramed: framed !== undefined, isBinary: format?.toLowerCase() !== 'json' };
}

export interface BodyOptions {
  readonly contentType: string;
  readonly packing: 'gzip' | 'identity';
  readonly method: DescMethod;
  /** Larger messages pass as they are: the library refuses them. */
  readonly maxBytes: number;
  /** Where long messages have room until they are whole; absent: none is asked for. */
  readonly room?: Pick<CallFlow, 'request' | 'received' | 'requestRead'>;
  /** The call's. */
  readonly signal?: AbortSignal;
}

/**
 * Passes on a request's bytes, unpacked, once they are known to be messages
 * of the method. The library tells of bytes that are none as INTERNAL, as if
 * the daemon had a bug; a caller who sends them is told INVALID_ARGUMENT.
 */
export async function* checkedBody(
  source: AsyncIterable<Uint8Array>,
  options: BodyOptions,
): AsyncGenerator<Uint8Array> {
  const { contentType, packing, method, maxBytes, room, signal = new AbortController().signal } = options;
  const form = formOf(contentType);
  const body = untilCut(source);
  if (!form) {
    yield* body;
    return;
  }
  let kept: Uint8Array[] = [];
  let size = 0;
  let isPassing = false;
  /** For how much room was asked. */
  let asked = 0;
  const makeRoom = async (bytes: number): Promise<void> => {
    if (bytes <= asked) return;
    asked = bytes;
    await room?.request(bytes, signal);
  };
  const taken = (): void => {
    asked = 0;
    room?.requestRead();
  };
  for await (const chunk of body) {
    if (isPassing) {
      yield chunk;
      continue;
    }
    kept.push(chunk);
    size += chunk.length;
    room?.received();
    if (!form.isFramed) {
      isPassing = size > maxBytes;
      // How long it gets is not said.
      if (!isPassing && size > UNSAID_BYTES) await makeRoom(maxBytes);
      if (!isPassing) continue;
    } else {
      // Pieces of a long message are not put together before it is whole.
      const needed = neededBytes(kept);
      if (size < needed && needed <= maxBytes + HEAD_BYTES) {
        await makeRoom(needed);
        continue;
      }
    }
    let bytes = joined(kept);
    while (form.isFramed && bytes.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + lengthIn(bytes);
      if (end > maxBytes + HEAD_BYTES) isPassing = true;
      if (end > bytes.length || isPassing) break;
      let envelope = bytes.subarray(0, end);
      if (isPacked(envelope) && packing === 'gzip') {
        await makeRoom(maxBytes);
        envelope = enveloped(await unpacked(envelope.subarray(HEAD_BYTES), maxBytes));
      }
      checkEnvelope(envelope, form, method);
      yield envelope;
      taken();
      bytes = bytes.subarray(end);
    }
    if (isPassing) yield bytes;
    kept = isPassing || bytes.length === 0 ? [] : [bytes];
    size = isPassing ? 0 : bytes.length;
  }
  let rest = joined(kept);
  if (!form.isFramed && !isPassing) {
    if (packing === 'gzip') {
      await makeRoom(maxBytes);
      rest = await unpacked(rest, maxBytes);
    }
    checkMessage(rest, form, method);
  }
  if (rest.length > 0) yield rest;
  taken();
}

/** A caller that goes away in the middle of its request: its stream says so in many words, none of which is a bug of ours. */
async function* untilCut(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (cause) {
    if (cause instanceof ConnectError) throw cause;
    throw new ConnectError(
      'The caller went away before its request was whole',
      Code.Canceled,
      undefined,
      undefined,
      cause,
    );
  }
}

export const joined = (parts: readonly Uint8Array[]): Uint8Array =>
  parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);

export const lengthIn = (head: Uint8Array): number =>
  new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(1);

/** So many bytes have to be there before the first message is whole. */
function neededBytes(parts: readonly Uint8Array[]): number {
  const [first = new Uint8Array()] = parts;
  const head = first.length >= HEAD_BYTES ? first : joined(parts);
  return head.length < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + lengthIn(head);
}

export const isPacked = (envelope: Uint8Array): boolean => ((envelope[0] ?? 0) & COMPRESSED) !== 0;

function enveloped(message: Uint8Array): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function checkEnvelope(envelope: Uint8Array, form: BodyForm, method: DescMethod): void {
  // Where a header says that it is packed in another way than ours the library has refused the call before.
  if (isPacked(envelope)) throw notSaidHow();
  checkMessage(envelope.subarray(HEAD_BYTES), form, method);
}

export const notSaidHow = (): ConnectError =>
  new ConnectError(
    'Cannot read the message: it says that it is compressed, and no header says how',
    Code.InvalidArgument,
  );

function checkMessage(bytes: Uint8Array, { isBinary }: BodyForm, { input }: DescMethod): void {
  if (!isBinary) {
    checkJson(bytes, input.name);
    return;
  }
  try {
    messageIn(bytes, input);
  } catch (error) {
    throw error instanceof Fault ? faultError(error) : error;
  }
}

/** @throws Fault `invalid`; ConnectError INVALID_ARGUMENT */
export function messageIn(bytes: Uint8Array, input: DescMessage): Message {
  try {
    checkBytes(input, bytes);
    return fromBinary(input, bytes);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    const why = cause instanceof RangeError ? 'it is cut off or nested too deeply' : reasonOf(cause);
    throw new ConnectError(`Cannot read the message as ${input.name}: ${why}`, Code.InvalidArgument);
  }
}

/** What is JSON is read by the library; of what is none it would quote a piece. */
function checkJson(bytes: Uint8Array, name: string): void {
  try {
    if (bytes.length > 0) JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) return;
    throw new ConnectError(`Cannot read the message as ${name}: ${unquoted(cause.message)}`, Code.InvalidArgument);
  }
}

const reasonOf = (cause: unknown): string => errorMessage(cause).slice(0, 300);
