import {
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { Code } from '@connectrpc/connect';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import { type CallMeter, codeName, UNKNOWN } from '../call-meter.ts';
import type { CurrentCaller } from '../current-caller.ts';
import type { Endpoint } from '../endpoint.ts';
import type { Flow } from '../flow/flow.ts';
import { Front } from '../front.ts';
import type { Gate, Peer } from '../gate.ts';
import type { ListenOptions } from '../listen.ts';
import type { RareLog } from '../rare-log.ts';
import { REQUEST_ID } from '../request-id.ts';
import type { Served } from '../served.ts';
import { wireError } from '../status.ts';
import type { TlsSource } from '../tls.ts';
import { WAITS, type Waits } from '../waits.ts';
import { type Begun, beginCall, type Connection, discardRest } from './begin-call.ts';
import { DirectCalls, directMethods, isDirect } from './direct/direct.ts';
import { health } from './health.ts';
import { LibraryCalls, type Outcome } from './library.ts';
import { encodeMessage } from './message.ts';
import { isGrpc } from './message-packing.ts';
import { watchOver } from './pings.ts';
import { reflection } from './reflection.ts';
import { Rounds } from './rounds.ts';

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
/**
 * What may come of one connection, and of one of its calls, before it is read: with HTTP/2's own 64 KiB a caller that sends much waits for both sides to have
 * their turn, twice for each message.
 */
const WINDOW_BYTES = 256 << 10;
/** Of one call, bytes: as HTTP/1. */
const MAX_HEADERS = 16 << 10;

/** gRPC, gRPC-web and Connect over HTTP/2, with health and reflection. */
export class GrpcServer {
  readonly #options: GrpcOptions;
  readonly #calls: Calls;
  readonly #fronts = new Set<Front>();
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(options: GrpcOptions) {
    this.#options = options;
    this.#calls = new Calls(options);
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
    const connections = new WeakMap<object, Connection>(); // by session, for the streams that compat gets
    // Beyond these streams a caller that does not know of them (gRPC libraries do, and wait) is told REFUSED_STREAM.
    const settings = {
      maxConcurrentStreams: this.#options.flow.limits.calls.connection,
      maxHeaderListSize: MAX_HEADERS,
      initialWindowSize: WINDOW_BYTES,
    };
    const server: Http2Server = createServer({ settings, maxSessionMemory: SESSION_MIB });
    // No connection ever comes to it: it makes of a stream what Node's API for HTTP has, for who wants that.
    const compat = createServer((request, response) => {
      const connection = request.stream.session && connections.get(request.stream.session);
      if (connection) this.#calls.byLibrary(request, response, connection);
      else request.stream.destroy();
    });
    let arriving: Peer | undefined;
    server.on('session', (session) => {
      if (!arriving) return session.destroy(); // never: it came through a front
      session.setLocalWindowSize(WINDOW_BYTES);
      const connection = { session, peer: arriving, turns: new Rounds(session) };
      connections.set(session, connection);
      session.on('stream', (stream, headers, flags, rawHeaders) => {
        if (!this.#calls.direct(stream, headers, connection)) compat.emit('stream', stream, headers, flags, rawHeaders);
      });
      // One that never says anything would hold a file of ours for as long as it likes.
      const silent = setTimeout(() => session.destroy(), this.#options.waits?.greetingMs ?? WAITS.greetingMs);
      session.once('remoteSettings', () => clearTimeout(silent));
      session.once('close', () => clearTimeout(silent));
      this.#sessions.add(session);
      session.on('close', () => this.#sessions.delete(session));
      session.on('error', (error) => log.debug('a gRPC connection failed', { error: error.message }));
      watchOver(session, { pongMs: this.#options.waits?.pongMs ?? WAITS.pongMs });
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

/** What is done with each call, whichever way it is answered: who calls, how it went. */
class Calls {
  readonly #options: GrpcOptions;
  readonly #library: LibraryCalls;
  readonly #direct: DirectCalls;
  readonly #methods: ReturnType<typeof directMethods>;

  constructor({ services: own, ...options }: GrpcOptions) {
    const { log, caller, stopped, waits } = options;
    const healthy = health(own.map(({ desc }) => desc.typeName));
    const services = [...own, healthy, ...reflection([...own, healthy].map(({ desc }) => desc))];
    this.#options = { ...options, services };
    const limits = { requestMs: waits?.requestMs ?? WAITS.requestMs, maxBytes: MAX_MESSAGE_BYTES };
    this.#library = new LibraryCalls({ services, log, caller, stopped, ...limits });
    this.#direct = new DirectCalls({ log, caller, stopped, ...limits });
    this.#methods = directMethods(services);
  }

  /** @returns false where it is none that is answered so */
  direct(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, connection: Connection): boolean {
    const path = headers[':path'] ?? '';
    const method = isDirect(headers) ? this.#methods.get(path) : undefined;
    if (!method) return false;
    const outcome: Outcome = {};
    const { desc } = method;
    const begun = this.#begin(stream, connection, headers, path, desc.methodKind !== 'unary');
    this.#meter(stream, `${desc.parent.typeName}/${desc.name}`, () => codeOf(outcome, stream, 200));
    this.#direct.answer(method, stream, headers, begun, connection).then(
      (code) => {
        if (code !== 0) outcome.code = code;
      },
      (error: unknown) => this.#cutOff(stream, error),
    );
    return true;
  }

  byLibrary(request: Http2ServerRequest, response: Http2ServerResponse, connection: Connection): void {
    const { stream, headers } = request;
    const path = request.url.split('?', 1)[0] ?? '';
    const handle = this.#library.handler(path);
    const outcome: Outcome = {};
    const begun = this.#begin(
      stream,
      connection,
      headers,
      path,
      handle !== undefined && handle.method.methodKind !== 'unary',
    );
    response.setHeader(REQUEST_ID, begun.id);
    if (!handle) {
      const refused = begun.refused && wireError(begun.refused.thrown, this.#options.log);
      this.#meter(stream, UNKNOWN, () => codeName(refused?.code ?? Code.Unimplemented));
      unknownMethod(path, refused, request, response);
      return;
    }
    const { method } = handle;
    this.#meter(stream, `${method.parent.typeName}/${method.name}`, () => codeOf(outcome, stream, response.statusCode));
    this.#library
      .answer(handle, request, response, begun, connection, outcome)
      .catch((error: unknown) => this.#cutOff(stream, error));
  }

  #begin(
    stream: ServerHttp2Stream,
    connection: Connection,
    headers: IncomingHttpHeaders,
    path: string,
    isStream: boolean,
  ): Begun {
    // The stream's end reaches the handler as an abort; as an event nobody listened to it would end the daemon.
    stream.on('error', (error) => this.#options.log.debug('a gRPC stream failed', { error: error.message }));
    stream.once('finish', () => discardRest(stream));
    return beginCall(this.#options, { stream, headers, path, isStream, connection });
  }

  #meter(stream: ServerHttp2Stream, method: string, codeOf: () => string): void {
    const { calls, clock } = this.#options;
    const began = clock.elapsed();
    stream.once('close', () => calls({ surface: 'grpc', method, code: codeOf(), ms: clock.elapsed() - began }));
  }

  #cutOff(stream: ServerHttp2Stream, error: unknown): void {
    this.#options.log.debug('a gRPC call was cut off', { error });
    if (!stream.destroyed) stream.close();
  }
}

/** A caller that went away before its answer was whole has cancelled it. */
function codeOf({ code, trailer }: Outcome, stream: ServerHttp2Stream, statusCode: number): string {
  const told = Number(trailer?.get('grpc-status') ?? 0) || (code ?? 0);
  if (told !== 0) return codeName(told);
  if (stream.aborted || stream.rstCode !== 0 || !stream.writableFinished) return codeName(Code.Canceled);
  return codeName(statusCode < 400 ? 0 : Code.Unknown);
}

/**
 * A Go client needs END_STREAM on the headers, else it sees INTERNAL.
 * @param refused - whoever may not call does not learn what there is
 */
function unknownMethod(
  path: string,
  refused: { readonly code: Code; readonly message: string } | undefined,
  { headers }: Http2ServerRequest,
  response: Http2ServerResponse,
): void {
  if (!isGrpc(headers['content-type'] ?? '')) {
    response.writeHead(refused ? 401 : 404);
    response.end();
    return;
  }
  const message = refused?.message ?? `unknown method ${path.slice(0, 200)}`;
  const trailersOnly = {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': String(refused?.code ?? Code.Unimplemented),
    'grpc-message': encodeMessage(message),
  };
  response.stream.respond(trailersOnly, { endStream: true });
}
