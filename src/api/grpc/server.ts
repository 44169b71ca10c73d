import {
  constants,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import {
  Code,
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
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import { type CallMeter, codeName, UNKNOWN } from '../call-meter.ts';
import type { CurrentCaller } from '../current-caller.ts';
import type { Endpoint } from '../endpoint.ts';
import { type CallFlow, FLOW, type Flow, inPieces } from '../flow/flow.ts';
import { Front } from '../front.ts';
import { callerOf, type Gate, OPEN_CALL, type Peer } from '../gate.ts';
import type { ListenOptions } from '../listen.ts';
import type { RareLog } from '../rare-log.ts';
import { REQUEST_ID, requestIdOf } from '../request-id.ts';
import type { Served } from '../served.ts';
import { connectError } from '../status.ts';
import type { TlsSource } from '../tls.ts';
import { WAITS, type Waits } from '../waits.ts';
import { health } from './health.ts';
import { inTime } from './in-time.ts';
import { encodeMessage } from './message.ts';
import { ACCEPTED, GZIP, isGrpc, MIN_PACKED_BYTES, packingOf } from './message-packing.ts';
import { watchOver } from './pings.ts';
import { reflection } from './reflection.ts';
import { checkedBody } from './request-body.ts';
import { roomFirst } from './room-first.ts';
import { Rounds } from './rounds.ts';
import { trailersOnly } from './trailers-only.ts';

export interface GrpcOptions {
  readonly services: readonly Served[];
  readonly log: Log;
  readonly rare: RareLog;
  readonly gate: Gate;
  readonly caller: CurrentCaller;
  readonly calls: CallMeter;
  readonly clock: Clock;
  /** On TCP; absent: plain text. */
  readonly tls?: TlsSource;
  readonly flow: Flow;
  /** Ends the calls that are under way; aborted with a ConnectError. */
  readonly stopped: AbortSignal;
  readonly waits?: Partial<Waits>;
}

/** Also the limit of grpc's own libraries. */
const MAX_MESSAGE_BYTES = 4 << 20;
/**
 * Of one connection, in MiB, by Node's account of it: beyond it Node refuses
 * calls by ENHANCE_YOUR_CALM. What waits there is bounded before, by a piece
 * of each call; its own 10 MiB would be met by a dozen lists.
 */
const SESSION_MIB = 128;
/** Of one call, bytes: as HTTP/1. */
const MAX_HEADERS = 16 << 10;
/** So long the rest of a request may come whose answer is whole. */
const REST_MS = 2_000;
/** The longest that a timer of Node holds: a deadline beyond it would pass at once. */
const MAX_DEADLINE_MS = 2 ** 31 - 1;

type Handle = (request: Http2ServerRequest, response: Http2ServerResponse, peer: Peer, connection: Connection) => void;

/** What the calls of a connection share. */
interface Connection {
  readonly session: Http2Session;
  readonly turns: Rounds;
}

/** gRPC, gRPC-web and Connect over HTTP/2, with health and reflection. */
export class GrpcServer {
  readonly #options: GrpcOptions;
  readonly #handle: Handle;
  readonly #fronts = new Set<Front>();
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(options: GrpcOptions) {
    this.#options = options;
    this.#handle = handler(options);
  }

  /** @throws Fault `refused` when somebody else has the endpoint */
  async listen(endpoint: Endpoint, options?: ListenOptions): Promise<Endpoint> {
    const { rare, tls, waits } = this.#options;
    const take = this.#taker();
    const front = new Front({ protocol: 'h2', rare, take, ...(waits && { waits }), ...(tls && { tls }) });
    this.#fronts.add(front);
    try {
      return await front.listen(endpoint, options);
    } catch (error) {
      this.#fronts.delete(front);
      throw error;
    }
  }

  /** A server that does not listen itself: its connections come through a front, which knows who is there. */
  #taker(): (socket: Socket, peer: Peer) => void {
    const { log } = this.#options;
    const peers = new WeakMap<object, Peer>(); // by session
    const connections = new WeakMap<object, Connection>();
    // Beyond these streams a caller that does not know of them (gRPC libraries do, and wait) is told REFUSED_STREAM.
    const settings = {
      maxConcurrentStreams: this.#options.flow.limits.calls.connection,
      maxHeaderListSize: MAX_HEADERS,
    };
    const server: Http2Server = createServer({ settings, maxSessionMemory: SESSION_MIB }, (request, response) => {
      const { session } = request.stream;
      const peer = session && peers.get(session);
      if (peer) {
        const connection = connections.get(session) ?? { session, turns: new Rounds(session) };
        connections.set(session, connection);
        this.#handle(request, response, peer, connection);
      } else request.stream.destroy(); // the connection is gone
    });
    let arriving: Peer | undefined;
    server.on('session', (session) => {
      if (arriving) peers.set(session, arriving);
      // One that never says anything would hold a file of ours for as long as it likes.
      const silent = setTimeout(() => session.destroy(), this.#options.waits?.greetingMs ?? WAITS.greetingMs);
      session.once('remoteSettings', () => clearTimeout(silent));
      session.once('close', () => clearTimeout(silent));
      this.#sessions.add(session);
      session.on('close', () => this.#sessions.delete(session));
      session.on('error', (error) => log.debug('a gRPC connection failed', { error: error.message }));
      watchOver(session);
    });
    server.on('sessionError', (error) => log.debug('a gRPC connection failed', { error: error.message }));
    return (socket, peer) => {
      arriving = peer; // the session is made, and told of, before this returns
      server.emit('connection', socket);
      arriving = undefined;
    };
  }

  /** Accepts no more; resolves once every call has ended. Idle connections end at once. */
  async close(): Promise<void> {
    const closed = [...this.#fronts].map((front) => front.close());
    for (const session of this.#sessions) session.close();
    await Promise.all(closed);
  }

  /** Cuts what is left: a session that has ended still waits for its caller to hang up. */
  destroy(): void {
    for (const front of this.#fronts) front.destroy();
  }
}

const REFUSED = createContextKey<ConnectError | undefined>(undefined, { description: 'why the gate refused' });

/** How a call went, as far as it is known. */
interface Outcome {
  /** Set by what ran the verb. */
  code?: Code;
  /** Of gRPC: they hold the code once the answer is whole. */
  trailer?: Headers;
}
const OUTCOME = createContextKey<Outcome>({}, { description: 'how the call went' });

/** connect's adapter for Node, but a request that it cannot even read does not end the daemon, and its log is ours. */
function handler({ services, log, gate, caller, calls, clock, stopped, flow, ...options }: GrpcOptions): Handle {
  const requestMs = options.waits?.requestMs ?? WAITS.requestMs;
  const router = createConnectRouter({
    // Of requests it only names what is read: checkedBody has unpacked them.
    acceptCompression: [GZIP],
    compressMinBytes: MIN_PACKED_BYTES,
    readMaxBytes: MAX_MESSAGE_BYTES,
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
  const healthy = health(services.map(({ desc }) => desc.typeName));
  for (const one of [...services, healthy, ...reflection([...services, healthy].map(({ desc }) => desc))])
    one.register(router);
  const paths = new Map(router.handlers.map((handle) => [handle.requestPath, handle]));
  const pathOf = ({ url }: Http2ServerRequest): string => url.split('?', 1)[0] ?? '';
  const answer = async (
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    peer: Peer,
    { session, turns }: Connection,
    outcome: Outcome,
  ): Promise<void> => {
    const path = pathOf(request);
    const values = createContextValues().set(OUTCOME, outcome);
    const id = requestIdOf(request.headers[REQUEST_ID]);
    response.setHeader(REQUEST_ID, id);
    const handle = paths.get(path);
    const isStream = handle !== undefined && handle.method.methodKind !== 'unary';
    let allowed = callerOf(peer);
    let held: CallFlow | undefined;
    try {
      if (path !== OPEN_CALL) {
        allowed = gate({ peer, authorization: request.headers.authorization });
        held = flow.enter(allowed, session, isStream, () => response.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM));
        response.stream.once('close', () => held?.end());
        values.set(FLOW, held);
      }
    } catch (error) {
      const refused = connectError(error, log);
      outcome.code = refused.code;
      values.set(REFUSED, refused);
    }
    allowed = { ...allowed, request: id };
    if (!handle) return unknownMethod(path, values.get(REFUSED), request, response);
    const universal = universalRequestFromNodeRequest(request, response, undefined, values);
    boundDeadline(universal.header);
    const type = request.headers['content-type'] ?? '';
    const packing = packingOf(universal.header, type);
    const checked = checkedBody(bytesOf(universal.body), {
      ...{ contentType: type, packing, method: handle.method, maxBytes: MAX_MESSAGE_BYTES },
      ...(held && { room: held, signal: universal.signal }),
    });
    const { methodKind } = handle.method;
    const body = inTime(checked, requestMs, methodKind === 'bidi_streaming' || methodKind === 'client_streaming');
    const answered = await caller.run(allowed, () => handle({ ...universal, body }));
    if (answered.trailer) outcome.trailer = answered.trailer;
    if (isGrpc(type)) answered.header?.set('grpc-accept-encoding', ACCEPTED);
    const left = await caller.run(allowed, () => trailersOnly(answered, response));
    if (!left) return;
    const pieces = held && left.body && { body: inPieces(left.body, held, { isStream, turns }) };
    await caller.run(allowed, () => universalResponseToNodeResponse({ ...left, ...pieces }, response));
  };
  return (request, response, peer, connection) => {
    // The stream's end reaches the handler as an abort; as an event nobody listened to it would end the daemon.
    response.stream.on('error', (error) => log.debug('a gRPC stream failed', { error: error.message }));
    response.stream.once('finish', () => discardRest(response.stream));
    const began = clock.elapsed();
    const outcome: Outcome = {};
    response.stream.once('close', () => {
      const method = paths.get(pathOf(request))?.method;
      const name = method ? `${method.parent.typeName}/${method.name}` : UNKNOWN;
      const code = method ? codeOf(outcome, response) : codeName(outcome.code ?? Code.Unimplemented);
      calls({ surface: 'grpc', method: name, code, ms: clock.elapsed() - began });
    });
    answer(request, response, peer, connection, outcome).catch((error: unknown) => {
      log.debug('a gRPC call was cut off', { error });
      if (!response.stream.destroyed) response.stream.close();
    });
  };
}

/** A caller that went away before its answer was whole has cancelled it. */
function codeOf({ code, trailer }: Outcome, { stream, statusCode }: Http2ServerResponse): string {
  const told = Number(trailer?.get('grpc-status') ?? 0) || (code ?? 0);
  if (told !== 0) return codeName(told);
  if (stream.aborted || stream.rstCode !== 0 || !stream.writableFinished) return codeName(Code.Canceled);
  return codeName(statusCode < 400 ? 0 : Code.Unknown);
}

/**
 * A request that was answered before all of it was read: Node's adapter would
 * stop reading for good, and the caller, whose window is full, never end.
 */
function discardRest(stream: ServerHttp2Stream): void {
  if (stream.readableEnded) return;
  stream.removeAllListeners('data'); // the adapter's, which pauses the stream
  stream.resume();
  // A caller that never ends its request would hold the stream: RFC 9113 section 8.1.
  const late = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), REST_MS);
  stream.once('close', () => clearTimeout(late));
}

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

/**
 * A Go client needs END_STREAM on the headers, else it sees INTERNAL.
 * @param refused - whoever may not call does not learn what there is
 */
function unknownMethod(
  path: string,
  refused: ConnectError | undefined,
  { headers }: Http2ServerRequest,
  response: Http2ServerResponse,
): void {
  if (!isGrpc(headers['content-type'] ?? '')) {
    response.writeHead(refused ? 401 : 404);
    response.end();
    return;
  }
  const message = refused?.rawMessage ?? `unknown method ${path.slice(0, 200)}`;
  const trailersOnly = {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': String(refused?.code ?? Code.Unimplemented),
    'grpc-message': encodeMessage(message),
  };
  response.stream.respond(trailersOnly, { endStream: true });
}
