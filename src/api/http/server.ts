import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { Code } from '@connectrpc/connect';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Caller } from '../../domain/caller.ts';
import { Fault } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import { type CallMeter, UNKNOWN } from '../call-meter.ts';
import type { CurrentCaller } from '../current-caller.ts';
import type { Endpoint } from '../endpoint.ts';
import { type Flow, inPieces } from '../flow/flow.ts';
import { ANSWER_BYTES } from '../flow/limits.ts';
import { Front } from '../front.ts';
import type { Gate, Peer } from '../gate.ts';
import type { ListenOptions } from '../listen.ts';
import type { RareLog } from '../rare-log.ts';
import { REQUEST_ID, requestIdOf } from '../request-id.ts';
import type { TlsSource } from '../tls.ts';
import { WAITS, type Waits } from '../waits.ts';
import { callSignal, type Flows } from './call-signal.ts';
import { packed, unpacked } from './content-encoding.ts';
import { errorOf, MAX_BODY_BYTES } from './errors.ts';
import { sendError, withoutMark } from './json.ts';
import { answerOtherMethods } from './other-methods.ts';
import { refuseOtherNames } from './own-names.ts';
import { answerTo, authorizationOf, type Upgrades, wantsSocket } from './upgrade.ts';

/** Adds a surface's routes. */
export type Routes = (app: FastifyInstance) => void;

/** Of a route whose answer may be as large as one may be, and of one that goes on: for what callers may take. */
export const LIST = { config: { holds: 'list' } } as const;
export const STREAM = { config: { holds: 'stream' } } as const;
/** Of one whose request goes on: it is read as it is taken, and may take as long as it moves. */
export const UPLOAD = { config: { holds: 'stream', goesOn: true } } as const;

export interface HttpOptions {
  /** Behind the gate. */
  readonly surfaces: readonly Routes[];
  /** For machines that watch the daemon: before the gate. */
  readonly ops: Routes;
  readonly log: Log;
  readonly rare: RareLog;
  readonly gate: Gate;
  readonly caller: CurrentCaller;
  readonly calls: CallMeter;
  readonly clock: Clock;
  readonly flow: Flow;
  /** What each answer that is under way holds: the routes look here. */
  readonly flows: Flows;
  /** The requests that want to go on as a WebSocket: the routes look here. */
  readonly upgrades: Upgrades;
  /** Ends the calls that are under way. */
  readonly stopped: AbortSignal;
  /** On TCP; absent: plain text. */
  readonly tls?: TlsSource;
  /** Beside addresses and localhost, what the daemon may be called on TCP; absent: anything. */
  readonly names?: () => readonly string[];
  readonly waits?: Partial<Waits>;
}

/** An id may be longer than any that is allowed: it is then refused by name, not as an unknown path. */
const MAX_PARAMETER = 4_096;
/** How often Node looks for requests that are late, at least. */
const LOOK_MS = 2_000;

/** HTTP/1.1 with JSON. */
export class HttpServer {
  readonly #options: HttpOptions;
  readonly #app: FastifyInstance;
  readonly #known: Known = { peers: new WeakMap(), routes: new WeakMap(), ids: new WeakMap(), lates: new WeakMap() };
  readonly #doors = new Set<{ readonly front: Front; readonly server: Server }>();

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#app = application(options, this.#known);
  }

  /** @throws Fault `refused` when somebody else has the endpoint */
  async listen(endpoint: Endpoint, options?: ListenOptions): Promise<Endpoint> {
    await this.#app.ready();
    const { rare, tls, waits } = this.#options;
    const server = this.#server();
    const take = (socket: Socket, peer: Peer): void => {
      this.#known.peers.set(socket, peer);
      server.emit('connection', socket);
    };
    const front = new Front({ protocol: 'http/1.1', rare, take, ...(waits && { waits }), ...(tls && { tls }) });
    const bound = await front.listen(endpoint, options);
    server.emit('listening'); // it does not listen itself, and would else never look for what is late
    this.#doors.add({ front, server });
    return bound;
  }

  #server(): Server {
    const { headersMs } = { ...WAITS, ...this.#options.waits };
    const timeouts = {
      // Of each request by itself, see #answer: there are some that go on.
      requestTimeout: 0,
      headersTimeout: headersMs,
      connectionsCheckingInterval: Math.min(LOOK_MS, headersMs / 5),
    };
    const server = createServer({ ...timeouts, shouldUpgradeCallback: wantsSocket }, (request, response) =>
      this.#answer(request, response),
    );
    server.on('upgrade', (request, socket, head) => {
      this.#options.upgrades.set(request, { socket, head });
      this.#answer(request, answerTo(request, socket));
    });
    return server;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { log, calls, clock } = this.#options;
    response.on('error', (error) => log.debug('an HTTP answer failed', { error: error.message }));
    const began = clock.elapsed();
    const late = setTimeout(() => tooLate(request, response), this.#options.waits?.requestMs ?? WAITS.requestMs);
    this.#known.lates.set(request, late);
    response.once('close', () => {
      clearTimeout(late);
      const method = this.#known.routes.get(request) ?? UNKNOWN;
      // Of one that became a WebSocket that one's end is no failure.
      const isWhole = response.writableFinished || response.statusCode === 101;
      calls({
        surface: 'http',
        method,
        code: String(isWhole ? response.statusCode : 499),
        ms: clock.elapsed() - began,
      });
    });
    const id = requestIdOf(request.headers[REQUEST_ID]);
    this.#known.ids.set(request, id);
    response.setHeader(REQUEST_ID, id);
    this.#app.routing(request, response);
  }

  /** Accepts no more; resolves once every request has ended. Idle connections end at once. */
  async close(): Promise<void> {
    for (const { server } of this.#doors) server.close();
    await Promise.all([...this.#doors].map(({ front }) => front.close()));
    await this.#app.close();
  }

  /** Cuts what is left. */
  destroy(): void {
    for (const { front } of this.#doors) front.destroy();
  }
}

/** What is known of a connection, and of a request on it, beside what Node says. */
interface Known {
  readonly peers: WeakMap<Socket, Peer>;
  /** `GET /v1/microvms/:uid`. */
  readonly routes: WeakMap<IncomingMessage, string>;
  readonly ids: WeakMap<IncomingMessage, string>;
  /** How long its body may take. */
  readonly lates: WeakMap<IncomingMessage, NodeJS.Timeout>;
}

/** As Node answers one whose headers are late. */
function tooLate(request: IncomingMessage, response: ServerResponse): void {
  if (request.complete || response.writableEnded) return;
  if (!response.headersSent) request.socket.write('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n');
  request.socket.destroySoon();
}

function application(
  { surfaces, ops, log, gate, caller, flow, flows, upgrades, names, stopped }: HttpOptions,
  known: Known,
): FastifyInstance {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: MAX_PARAMETER },
    frameworkErrors: (error, _request, reply) => void sendError(reply as unknown as FastifyReply, errorOf(error, log)),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
    done(null, withoutMark(String(body))),
  );
  app.setErrorHandler((error, _request, reply) => sendError(reply, errorOf(error, log)));
  app.setNotFoundHandler((request, reply) => {
    const message = `${request.method} ${shorten(request.url)} not found`;
    return sendError(reply, { code: Code.NotFound, http: 404, message, details: [] });
  });
  app.addHook('onRequest', async ({ raw, routeOptions, method }) => {
    if (routeOptions.url !== undefined) known.routes.set(raw, `${method} ${routeOptions.url}`);
  });
  ops(app);
  app.register(async (guarded) => {
    const allowed = new WeakMap<FastifyRequest, Caller>();
    guarded.addHook('onRequest', async (request, reply) => {
      refuseOtherSites(request);
      const peer = known.peers.get(request.raw.socket);
      if (!peer) throw new Fault('cancelled', 'The caller went away');
      if (names && peer.kind === 'tcp') refuseOtherNames(request.headers.host, names());
      try {
        const who = gate({ peer, authorization: authorizationOf(request.raw, upgrades.has(request.raw)) });
        allowed.set(request, { ...who, request: known.ids.get(request.raw) ?? '' });
        const { socket } = request.raw;
        const held = flow.enter(who, socket, holdsOf(request) === 'stream', () => void socket.destroy());
        flows.set(reply.raw, held);
        const goesOn = (request.routeOptions.config as { readonly goesOn?: boolean }).goesOn === true;
        const stalled = (): void => void socket.destroy();
        if (goesOn) {
          clearTimeout(known.lates.get(request.raw));
          socket.setTimeout(flow.limits.stalledMs, stalled);
        }
        const onClose = (): void => {
          held.end();
          if (goesOn) socket.setTimeout(0).off('timeout', stalled);
        };
        if (reply.raw.destroyed) onClose();
        else reply.raw.once('close', onClose);
      } catch (error) {
        if (error instanceof Fault && error.kind === 'unauthenticated') reply.header('www-authenticate', CHALLENGE);
        throw error;
      }
    });
    guarded.addHook('preParsing', async (request, reply, payload) => {
      const length = Number(request.headers['content-length']);
      // How long it gets is said by its length alone, and by that only where it is not packed.
      const isSaid = Number.isInteger(length) && request.headers['content-encoding'] === undefined;
      const most = isSaid ? Math.min(length, MAX_BODY_BYTES) : MAX_BODY_BYTES;
      const hasBody = length > 0 || request.headers['transfer-encoding'] !== undefined;
      if (hasBody) await flows.get(reply.raw)?.request(most, callSignal(reply, stopped));
      return hasBody ? unpacked(request, reply, request.raw) : payload;
    });
    guarded.addHook('preHandler', async (request, reply) => {
      const held = flows.get(reply.raw);
      held?.requestRead();
      const holds = holdsOf(request);
      if (holds !== 'stream') await held?.answer(holds === 'list' ? ANSWER_BYTES : 0, callSignal(reply, stopped));
    });
    guarded.addHook<string>('onSend', async (request, reply, payload) => {
      const held = flows.get(reply.raw);
      if (!held || typeof payload !== 'string') return payload;
      const bytes = await packed(request, reply, payload);
      held.made(bytes.length);
      reply.header('content-length', bytes.length);
      return Readable.from(inPieces(one(bytes), held, { isStream: false }), { objectMode: false, highWaterMark: 1 });
    });
    // After the body: what reads it goes on in a context of its own.
    guarded.addHook('preHandler', (request, _reply, next) => {
      const who = allowed.get(request);
      if (who) caller.run(who, next);
      else next(new Error('a request passed by the gate'));
    });
    const answerOthers = answerOtherMethods(guarded);
    for (const routes of surfaces) routes(guarded);
    guarded.after(answerOthers);
  });
  return app;
}

const holdsOf = ({ routeOptions }: FastifyRequest): 'list' | 'stream' | undefined =>
  (routeOptions.config as { readonly holds?: 'list' | 'stream' }).holds;

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** RFC 9110 section 11.6.1; Basic would make browsers ask for a user. */
const CHALLENGE = 'Bearer realm="flintlock"';

/**
 * A page in a browser on this machine must not reach the daemon: a POST
 * without a body needs no leave from us by the rules of CORS.
 */
function refuseOtherSites({ headers }: FastifyRequest): void {
  const { origin, host } = headers;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`)
    throw new Fault('denied', `Pages of ${shorten(origin)} may not call this daemon`);
}
