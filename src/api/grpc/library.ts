import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import {
  type Code,
  type ConnectError,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type Interceptor,
  type StreamRequest,
  type UnaryRequest,
} from '@connectrpc/connect';
import type { UniversalServerRequest } from '@connectrpc/connect/protocol';
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node';
import type { Log } from '../../ports/log.ts';
import type { CurrentCaller } from '../current-caller.ts';
import { FLOW, inPieces } from '../flow/flow.ts';
import type { Served } from '../served.ts';
import { connectError } from '../status.ts';
import type { Begun, Connection } from './begin-call.ts';
import { MAX_DEADLINE_MS } from './direct/deadline.ts';
import { inTime } from './in-time.ts';
import { ACCEPTED, GZIP, isGrpc, MIN_PACKED_BYTES, packingOf } from './message-packing.ts';
import { checkedBody } from './request-body.ts';
import { roomFirst } from './room-first.ts';
import { trailersOnly } from './trailers-only.ts';

export interface LibraryOptions {
  readonly services: readonly Served[];
  readonly log: Log;
  readonly caller: CurrentCaller;
  /** Ends the calls that are under way. */
  readonly stopped: AbortSignal;
  readonly requestMs: number;
  readonly maxBytes: number;
}

const REFUSED = createContextKey<ConnectError | undefined>(undefined, { description: 'why the gate refused' });

/** How a call went, as far as it is known. */
export interface Outcome {
  /** Set by what ran the verb. */
  code?: Code;
  /** Of gRPC: they hold the code once the answer is whole. */
  trailer?: Headers;
}
const OUTCOME = createContextKey<Outcome>({}, { description: 'how the call went' });

/** connect's adapter for Node, but a request that it cannot even read does not end the daemon, and its log is ours. */
export class LibraryCalls {
  readonly #options: LibraryOptions;
  readonly #handlers: ReadonlyMap<string, Handler>;

  constructor(options: LibraryOptions) {
    const { services, log, stopped, maxBytes } = options;
    this.#options = options;
    const router = createConnectRouter({
      // Of requests it only names what is read: checkedBody has unpacked them.
      acceptCompression: [GZIP],
      compressMinBytes: MIN_PACKED_BYTES,
      readMaxBytes: maxBytes,
      maxTimeoutMs: MAX_DEADLINE_MS,
      shutdownSignal: stopped,
      jsonOptions: { ignoreUnknownFields: false, alwaysEmitImplicit: true },
      interceptors: [faults(log), roomFirst],
      // Before the body is read.
      requestGate: ({ values }) => {
        const refused = values.get(REFUSED);
        if (refused) throw refused;
      },
    });
    for (const one of services) one.register(router);
    this.#handlers = new Map(router.handlers.map((handle) => [handle.requestPath, handle]));
  }

  handler(path: string): Handler | undefined {
    return this.#handlers.get(path);
  }

  async answer(
    handle: Handler,
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    { caller: allowed, held, refused }: Begun,
    { turns }: Pick<Connection, 'turns'>,
    outcome: Outcome,
  ): Promise<void> {
    const { log, caller, requestMs, maxBytes } = this.#options;
    const values = createContextValues().set(OUTCOME, outcome).set(FLOW, held);
    if (refused) {
      const told = connectError(refused.thrown, log);
      outcome.code = told.code;
      values.set(REFUSED, told);
    }
    const universal = universalRequestFromNodeRequest(request, response, undefined, values);
    boundDeadline(universal.header);
    const type = request.headers['content-type'] ?? '';
    const packing = packingOf(universal.header, type);
    const checked = checkedBody(bytesOf(universal.body), {
      ...{ contentType: type, packing, method: handle.method, maxBytes },
      ...(held && { room: held, signal: universal.signal }),
    });
    const { methodKind } = handle.method;
    const body = inTime(checked, requestMs, methodKind === 'bidi_streaming' || methodKind === 'client_streaming');
    const answered = await caller.run(allowed, () => handle({ ...universal, body }));
    if (answered.trailer) outcome.trailer = answered.trailer;
    if (isGrpc(type)) answered.header?.set('grpc-accept-encoding', ACCEPTED);
    const left = await caller.run(allowed, () => trailersOnly(answered, response));
    if (!left) return;
    const isStream = methodKind !== 'unary';
    const pieces = held && left.body && { body: inPieces(left.body, held, { isStream, turns }) };
    await caller.run(allowed, () => universalResponseToNodeResponse({ ...left, ...pieces }, response));
  }
}

type Handler = ReturnType<typeof createConnectRouter>['handlers'][number];

/** A deadline in so many hours is none: the library would refuse it, and set a timer that passes at once. */
function boundDeadline(headers: Headers): void {
  const [, count, unit = ''] = /^(\d{1,8})([HMS])$/.exec(headers.get('grpc-timeout') ?? '') ?? [];
  const seconds = Number(count) * ({ H: 3_600, M: 60 }[unit] ?? 1);
  if (seconds * 1_000 > MAX_DEADLINE_MS) headers.set('grpc-timeout', `${Math.floor(MAX_DEADLINE_MS / 1_000)}S`);
  // Connect's is in milliseconds, of at most ten digits.
  const connect = headers.get('connect-timeout-ms') ?? '';
  if (/^\d{10}$/.test(connect) && Number(connect) > MAX_DEADLINE_MS)
    headers.set('connect-timeout-ms', String(MAX_DEADLINE_MS));
}

/** The adapter reads no JSON: what it hands on is bytes. */
function bytesOf(body: UniversalServerRequest['body']): AsyncIterable<Uint8Array> {
  if (typeof body === 'object' && body !== null && Symbol.asyncIterator in body) return body;
  throw new TypeError('the body of a request is no stream of bytes');
}

/** Gives every Fault its code and details, on its way out of any service. */
function faults(log: Log): Interceptor {
  const told = (error: unknown, { signal, contextValues }: UnaryRequest | StreamRequest): ConnectError => {
    const mended = connectError(error, log, signal);
    contextValues.get(OUTCOME).code = mended.code;
    return mended;
  };
  async function* mended<T>(messages: AsyncIterable<T>, request: UnaryRequest | StreamRequest): AsyncGenerator<T> {
    try {
      yield* messages;
    } catch (error) {
      throw told(error, request);
    }
  }
  return (next) => async (request) => {
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: mended(response.message, request) };
    } catch (error) {
      throw told(error, request);
    }
  };
}
