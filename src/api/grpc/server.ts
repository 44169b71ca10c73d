import {
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { Code, createConnectRouter, type HandlerContext, type Interceptor } from '@connectrpc/connect';
import type { UniversalServerRequest } from '@connectrpc/connect/protocol';
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node';
import type { Log } from '../../ports/log.ts';
import type { Endpoint } from '../endpoint.ts';
import type { Gate } from '../gate.ts';
import { type ListenOptions, listen } from '../listen.ts';
import type { Served } from '../served.ts';
import { connectError } from '../status.ts';
import { health } from './health.ts';
import { reflection } from './reflection.ts';
import { checkedBody } from './request-body.ts';

export interface GrpcOptions {
  readonly services: readonly Served[];
  readonly log: Log;
  readonly gate?: Gate;
  /** Ends the calls that are under way; aborted with a ConnectError. */
  readonly stopped: AbortSignal;
  /** How long a connection may take to greet in HTTP/2; 30 s by default. */
  readonly greetingMs?: number;
}

/** Also the limit of grpc's own libraries. */
const MAX_MESSAGE_BYTES = 4 << 20;
/** Percent-encoded, of the 64 KiB of headers that Node's client takes; our own messages are shorter. */
const MAX_TRAILER = 20_000;
/** Of one connection at a time. A caller that does not know it (gRPC libraries do) is told REFUSED_STREAM. */
const MAX_STREAMS = 1_000;
/** As for HTTP: from the connection to the first that it says. */
const GREETING_MS = 30_000;
/** The longest that a timer of Node holds: a deadline beyond it would pass at once. */
const MAX_DEADLINE_MS = 2 ** 31 - 1;

/** gRPC, gRPC-web and Connect over HTTP/2 in plain text, with health and reflection. */
export class GrpcServer {
  readonly #handle: (request: Http2ServerRequest, response: Http2ServerResponse) => void;
  readonly #log: Log;
  readonly #greetingMs: number;
  readonly #servers = new Set<Http2Server>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #sockets = new Set<Socket>();

  constructor(options: GrpcOptions) {
    this.#log = options.log;
    this.#greetingMs = options.greetingMs ?? GREETING_MS;
    this.#handle = handler(options);
  }

  /** @throws Fault `refused` when somebody else has the endpoint */
  async listen(endpoint: Endpoint, options?: ListenOptions): Promise<Endpoint> {
    const server = createServer({ settings: { maxConcurrentStreams: MAX_STREAMS } }, this.#handle);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.on('session', (session) => {
      // One that never says anything would hold a file of ours for as long as it likes.
      const silent = setTimeout(() => session.destroy(), this.#greetingMs);
      session.once('remoteSettings', () => clearTimeout(silent));
      session.once('close', () => clearTimeout(silent));
      this.#sessions.add(session);
      session.on('close', () => this.#sessions.delete(session));
      session.on('error', (error) => this.#log.debug('a gRPC connection failed', { error: error.message }));
    });
    server.on('sessionError', (error) => this.#log.debug('a gRPC connection failed', { error: error.message }));
    const bound = await listen(server, endpoint, options);
    server.on('error', (error) => this.#log.error('a gRPC listener failed', { error }));
    this.#servers.add(server);
    return bound;
  }

  /** Accepts no more; resolves once every call has ended. Idle connections end at once. */
  async close(): Promise<void> {
    const closed = [...this.#servers].map((server) => new Promise((resolve) => server.close(resolve)));
    for (const session of this.#sessions) session.close();
    await Promise.all(closed);
  }

  /** Cuts what is left: a session that has ended still waits for its caller to hang up. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** connect's adapter for Node, but a request that it cannot even read does not end the daemon, and its log is ours. */
function handler({ services, log, gate, stopped }: GrpcOptions) {
  const router = createConnectRouter({
    // Compression costs more than it saves on a host: 2.5k messages a second with it, 20k without.
    acceptCompression: [],
    readMaxBytes: MAX_MESSAGE_BYTES,
    maxTimeoutMs: MAX_DEADLINE_MS,
    shutdownSignal: stopped,
    jsonOptions: { ignoreUnknownFields: false, alwaysEmitImplicit: true },
    interceptors: [faults(log)],
    ...(gate && { requestGate: (context: HandlerContext) => passGate(gate, context, log) }),
  });
  const healthy = health(services.map(({ desc }) => desc.typeName));
  for (const one of [...services, healthy, ...reflection([...services, healthy].map(({ desc }) => desc))])
    one.register(router);
  const paths = new Map(router.handlers.map((handle) => [handle.requestPath, handle]));
  const answer = async (request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> => {
    const path = request.url.split('?', 1)[0] ?? '';
    const handle = paths.get(path);
    if (!handle) return unknownMethod(path, request, response);
    const universal = universalRequestFromNodeRequest(request, response, undefined, undefined);
    boundDeadline(universal.header);
    const type = request.headers['content-type'] ?? '';
    const body = checkedBody(bytesOf(universal.body), type, handle.method, MAX_MESSAGE_BYTES);
    const answered = await handle({ ...universal, body });
    if (answered.trailer) cutMessage(answered.trailer);
    await universalResponseToNodeResponse(answered, response);
  };
  return (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    // The stream's end reaches the handler as an abort; as an event nobody listened to it would end the daemon.
    response.stream.on('error', (error) => log.debug('a gRPC stream failed', { error: error.message }));
    response.stream.once('finish', () => discardRest(response.stream));
    answer(request, response).catch((error: unknown) => {
      log.debug('a gRPC call was cut off', { error: error instanceof Error ? error.message : String(error) });
      if (!response.stream.destroyed) response.stream.close();
    });
  };
}

/**
 * A request that was answered before all of it was read: Node's adapter would
 * stop reading for good, and the caller, whose window is full, never end.
 */
function discardRest(stream: ServerHttp2Stream): void {
  if (stream.readableEnded) return;
  stream.removeAllListeners('data'); // the adapter's, which pauses the stream
  stream.resume();
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

/** The library quotes what it cannot read: a name of a megabyte would break the caller's connection, not just its call. */
function cutMessage(trailer: Headers): void {
  const message = trailer.get('grpc-message') ?? '';
  if (message.length > MAX_TRAILER) trailer.set('grpc-message', message.slice(0, MAX_TRAILER).replace(/%.?$/, ''));
}

async function passGate(gate: Gate, context: HandlerContext, log: Log): Promise<void> {
  try {
    await gate({ authorization: context.requestHeader.get('authorization') ?? undefined });
  } catch (error) {
    throw connectError(error, log);
  }
}

/** Gives every Fault its code and details, on its way out of any service. */
function faults(log: Log): Interceptor {
  async function* mended<T>(messages: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
    try {
      yield* messages;
    } catch (error) {
      throw connectError(error, log, signal);
    }
  }
  return (next) => async (request) => {
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: mended(response.message, request.signal) };
    } catch (error) {
      throw connectError(error, log, request.signal);
    }
  };
}

/** A Go client needs END_STREAM on the headers, else it sees INTERNAL. */
function unknownMethod(path: string, { headers }: Http2ServerRequest, response: Http2ServerResponse): void {
  const isGrpc = headers['content-type']?.startsWith('application/grpc');
  if (!isGrpc) {
    response.writeHead(404);
    response.end();
    return;
  }
  const trailersOnly = {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': String(Code.Unimplemented),
    'grpc-message': encodeURIComponent(`unknown method ${path.slice(0, 200)}`),
  };
  response.stream.respond(trailersOnly, { endStream: true });
}
