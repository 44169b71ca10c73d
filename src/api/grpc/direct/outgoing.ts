import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { StatusSchema } from '../../../gen/google/rpc/status_pb.ts';
import type { CallFlow, Turns } from '../../flow/flow.ts';
import { REQUEST_ID } from '../../request-id.ts';
import { rpcStatus, type WireError } from '../../status.ts';
import { encodeMessage } from '../message.ts';
import { ACCEPTED } from '../message-packing.ts';
import { inPieces } from './pieces.ts';

const OK = { 'grpc-status': '0' };

/** The answer of one call, as gRPC has it on the wire: headers, messages, trailers. */
export class Outgoing {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: OutgoingHttpHeaders;
  readonly #held: CallFlow | undefined;
  readonly #turns: Turns;
  #trailers: OutgoingHttpHeaders = OK;
  #isBegun = false;
  #isDone = false;

  /** @param held - absent: what is sent is not counted */
  constructor(stream: ServerHttp2Stream, id: string, held: CallFlow | undefined, turns: Turns) {
    this.#stream = stream;
    this.#headers = {
      ...{ ':status': 200, 'content-type': 'application/grpc+proto', 'grpc-accept-encoding': ACCEPTED },
      [REQUEST_ID]: id,
    };
    this.#held = held;
    this.#turns = turns;
  }

  /** All of it is on its way. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /**
   * Sends messages, and waits until what waits to be sent is little.
   * @param messages - each in its parts
   * @throws ConnectError when the caller has gone away
   */
  async send(messages: readonly (readonly Uint8Array[])[]): Promise<void> {
    for (const piece of inPieces(messages)) await this.#piece(piece);
  }

  end(): void {
    this.#finish(OK);
  }

  /** Ends it with what went wrong. */
  fail(error: WireError): void {
    this.#finish({
      'grpc-status': String(error.code),
      'grpc-message': encodeMessage(error.message),
      ...(error.details.length > 0 && {
        'grpc-status-details-bin': Buffer.from(toBinary(StatusSchema, rpcStatus(error)))
          .toString('base64')
          .replace(/=+$/, ''),
      }),
    });
  }

  /** Nothing of it is left, or will come any more. */
  #finish(trailers: OutgoingHttpHeaders): void {
    this.#isDone = true;
    if (isGone(this.#stream)) return;
    this.#trailers = trailers;
    if (this.#isBegun) {
      this.#held?.sends(); // what is left of it is on its way
      this.#stream.end();
    }
    // In one frame of headers: HAProxy 2.6 loses trailers that come without a message before them.
    else this.#stream.respond({ ...this.#headers, ...trailers }, { endStream: true });
  }

  async #piece(bytes: Uint8Array): Promise<void> {
    const held = this.#held;
    if (!held) return this.#write(bytes);
    await this.#turns.take(held);
    try {
      held.sends();
      await this.#write(bytes);
      held.sent();
    } finally {
      this.#turns.gone(held);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const stream = this.#stream;
    if (isGone(stream)) throw gone();
    if (!this.#isBegun) {
      this.#isBegun = true;
      stream.respond(this.#headers, { waitForTrailers: true });
      stream.once('wantTrailers', () => {
        if (!isGone(stream)) stream.sendTrailers(this.#trailers);
      });
    }
    if (stream.write(bytes)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onClose = (): void => reject(gone());
    stream.once('drain', resolve);
    stream.once('close', onClose);
    try {
      await promise;
    } finally {
      stream.off('drain', resolve);
      stream.off('close', onClose);
    }
  }
}

/** Also where we have cut it off: on such a stream Node throws. */
const isGone = ({ destroyed, closed }: ServerHttp2Stream): boolean => destroyed || closed;

export const gone = (): ConnectError => new ConnectError('The caller went away', Code.Canceled);
