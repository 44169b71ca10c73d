import { createServer, type Server } from 'node:http';
import { Code } from '@connectrpc/connect';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { Fault } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import type { Log } from '../../ports/log.ts';
import type { Endpoint } from '../endpoint.ts';
import type { Gate } from '../gate.ts';
import { type ListenOptions, listen } from '../listen.ts';
import { type WireError, wireError } from '../status.ts';
import { sendError } from './json.ts';

/** Adds a surface's routes. */
export type Routes = (app: FastifyInstance) => void;

export interface HttpOptions {
  /** Behind the gate. */
  readonly surfaces: readonly Routes[];
  /** For machines that watch the daemon: before the gate. */
  readonly ops: Routes;
  readonly log: Log;
  readonly gate?: Gate;
}

/** As for gRPC: larger is 413 with the code RESOURCE_EXHAUSTED. */
const MAX_BODY_BYTES = 4 << 20;
/** An id may be longer than any that is allowed: it is then refused by name, not as an unknown path. */
const MAX_PARAMETER = 4_096;
/** From a request's first byte to its last. */
const REQUEST_TIMEOUT_MS = 30_000;

/** HTTP/1.1 with JSON, in plain text. */
export class HttpServer {
  readonly #app: FastifyInstance;
  readonly #log: Log;
  readonly #servers = new Set<Server>();

  constructor(options: HttpOptions) {
    this.#log = options.log;
    this.#app = application(options);
  }

  /** @throws Fault `refused` when somebody else has the endpoint */
  async listen(endpoint: Endpoint, options?: ListenOptions): Promise<Endpoint> {
    await this.#app.ready();
    const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      response.on('error', (error) => this.#log.debug('an HTTP answer failed', { error: error.message }));
      this.#app.routing(request, response);
    });
    const bound = await listen(server, endpoint, options);
    server.on('error', (error) => this.#log.error('an HTTP listener failed', { error }));
    this.#servers.add(server);
    return bound;
  }

  /** Accepts no more; resolves once every request has ended. Idle connections end at once. */
  async close(): Promise<void> {
    await Promise.all([...this.#servers].map((server) => new Promise((resolve) => server.close(resolve))));
    await this.#app.close();
  }

  /** Cuts what is left. */
  destroy(): void {
    for (const server of this.#servers) server.closeAllConnections();
  }
}

function application({ surfaces, ops, log, gate }: HttpOptions): FastifyInstance {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: MAX_PARAMETER },
    frameworkErrors: (error, _request, reply) => void sendError(reply as unknown as FastifyReply, errorOf(error, log)),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  app.setErrorHandler((error, _request, reply) => sendError(reply, errorOf(error, log)));
  app.setNotFoundHandler((request, reply) => {
    const message = `${request.method} ${shorten(request.url)} not found`;
    return sendError(reply, { code: Code.NotFound, http: 404, message, details: [] });
  });
  ops(app);
  app.register(async (guarded) => {
    guarded.addHook('onRequest', async (request) => {
      refuseOtherSites(request);
      await gate?.({ authorization: request.headers.authorization });
    });
    for (const routes of surfaces) routes(guarded);
  });
  return app;
}

/**
 * A page in a browser on this machine must not reach the daemon: a POST
 * without a body needs no leave from us by the rules of CORS.
 */
function refuseOtherSites({ headers }: FastifyRequest): void {
  const { origin, host } = headers;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`)
    throw new Fault('denied', `Pages of ${shorten(origin)} may not call this daemon`);
}

function errorOf(error: unknown, log: Log): WireError {
  // Its connection is gone: nobody hears the answer, and it is no bug of ours.
  if (isCutOff(error))
    return {
      code: Code.Canceled,
      http: 499,
      message: 'The caller went away before its request was whole',
      details: [],
    };
  if (!isFastifyRefusal(error)) return wireError(error, log);
  const { statusCode: http, message } = error;
  if (http === 413)
    return { code: Code.ResourceExhausted, http, message: `The body is over ${MAX_BODY_BYTES} bytes`, details: [] };
  if (http === 415) {
    const needed = 'Cannot read the body: its content-type must be application/json';
    return { code: Code.InvalidArgument, http, message: needed, details: [] };
  }
  return { code: Code.InvalidArgument, http, message, details: [] };
}

/** While the body was read. Fastify hands on what the socket said, and gives it a status. */
function isCutOff(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error) || !('statusCode' in error)) return false;
  return error.statusCode === 400 && (error.code === 'ECONNRESET' || error.code === 'ERR_STREAM_PREMATURE_CLOSE');
}

/** Fastify's own verdicts on a request: a bad URL, a body that is cut off or too large. */
function isFastifyRefusal(error: unknown): error is Error & { statusCode: number } {
  if (!(error instanceof Error) || !('code' in error) || !('statusCode' in error)) return false;
  const { code, statusCode } = error;
  return String(code).startsWith('FST_') && typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
}
