import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { MetadataServer, ServedAt } from '../ports/metadata-server.ts';
import { answer } from './protocol.ts';
import type { Seed } from './seed.ts';
import type { Tokens } from './tokens.ts';

export interface MetadataServerDeps {
  /** The microVM's metadata as it is now; undefined: it is gone. */
  readonly seed: (uid: string) => Seed | undefined;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<Limits>;
}

export interface Limits {
  /** Open connections of one microVM: each serves one request. */
  readonly connectionsEach: number;
  /** Of all together. Beyond it each microVM may have one. */
  readonly connections: number;
  /** Bytes of a request's first line and headers. */
  readonly headerBytes: number;
  /** From the connection to the whole request: milliseconds. */
  readonly requestMs: number;
  /** From the connection to its end: 1 MiB at a few hundred KiB a second. */
  readonly connectionMs: number;
}

const LIMITS: Limits = {
  connectionsEach: 16,
  connections: 512,
  headerBytes: 8_192,
  requestMs: 5_000,
  connectionMs: 20_000,
};

export interface ClosableMetadataServer extends MetadataServer {
  /** Ends all connections and listens no more. */
  close(): Promise<void>;
  /** Open connections. */
  readonly connections: number;
}

/** One microVM's listening socket, and who is connected to it. */
interface Listening {
  readonly at: ServedAt;
  readonly server: Server;
  readonly sockets: Set<Socket>;
}

/**
 * One listening socket for each microVM, one HTTP server behind them all. Whose
 * metadata is asked for is known by the socket that took the connection, and by
 * nothing that the guest says.
 *
 * A connection serves one request and has two deadlines, so that no guest
 * keeps more than its share, whatever it sends or leaves out.
 */
export function createMetadataServer(deps: MetadataServerDeps): ClosableMetadataServer {
  const { seed, tokens, clock, log } = deps;
  const limits: Limits = { ...LIMITS, ...deps.limits };
  const listening = new Map<string, Listening>();
  /** Whose a connection is, and how its first deadline is lifted. */
  const owners = new WeakMap<Socket, { readonly uid: string; requested(): void }>();
  let total = 0;

  const http = createHttpServer({ maxHeaderSize: limits.headerBytes, keepAlive: false, noDelay: true }, handle);
  // It listens nowhere itself; time is kept for each connection below.
  http.requestTimeout = 0;
  http.headersTimeout = 0;
  http.keepAliveTimeout = 0;
  http.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    else socket.destroy();
  });

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const owner = owners.get(request.socket);
    if (!owner) return void request.socket.destroy();
    owner.requested();
    response.shouldKeepAlive = false;
    response.on('finish', () => request.socket.end());
    let isGone = false;
    const answered = ((): ReturnType<typeof answer> | undefined => {
      try {
        const { method = '', url = '', headers } = request;
        const found = seed(owner.uid);
        isGone = found === undefined;
        return found && answer({ method, url, headers }, owner.uid, () => found, tokens);
      } catch (error) {
        log.error('a request for metadata could not be answered', { uid: owner.uid, error });
        return undefined;
      }
    })();
    if (!answered) {
      response.writeHead(isGone ? 404 : 500, { 'content-length': 0 });
      return void response.end();
    }
    const { status, headers, body } = answered;
    response.writeHead(status, { ...headers, 'content-length': body.byteLength });
    response.end(body);
  }

  function connected(uid: string, { sockets }: Pick<Listening, 'sockets'>, socket: Socket): void {
    const isFull = sockets.size >= limits.connectionsEach || (total >= limits.connections && sockets.size > 0);
    if (isFull) return void socket.resetAndDestroy();
    sockets.add(socket);
    total++;
    const cancelRequest = clock.after(limits.requestMs, () => socket.destroy());
    const cancelConnection = clock.after(limits.connectionMs, () => socket.destroy());
    owners.set(socket, { uid, requested: cancelRequest });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      total--;
      cancelRequest();
      cancelConnection();
    });
    http.emit('connection', socket);
  }

  async function unserve(key: string): Promise<void> {
    const one = listening.get(key);
    if (!one) return;
    listening.delete(key);
    const closed = new Promise<void>((done) => one.server.close(() => done()));
    for (const socket of one.sockets) socket.destroy();
    await closed;
  }

  return {
    get connections() {
      return total;
    },

    async serve(uid, at) {
      const key = keyOf(uid, at.address);
      const before = listening.get(key);
      if (before?.at.port === at.port && before.server.listening) return;
      await unserve(key);
      const sockets = new Set<Socket>();
      const server = createServer((socket) => connected(uid, { sockets }, socket));
      listening.set(key, { at, server, sockets });
      try {
        await listen(server, at);
      } catch (error) {
        if (listening.get(key)?.server === server) listening.delete(key);
        throw error;
      }
      server.on('error', (error) => log.error('a metadata socket failed', { uid, error }));
    },

    unserve: (uid, address) => unserve(keyOf(uid, address)),

    async close() {
      await Promise.all([...listening.keys()].map(unserve));
    },
  };
}

/** A microVM with a tap and a macvtap is served at two addresses. */
const keyOf = (uid: string, address: string): string => `${uid} ${address}`;

function listen(server: Server, { address, port }: ServedAt): Promise<void> {
  return new Promise((done, fail) => {
    const failed = (cause: Error): void => {
      const isTaken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
      const why = isTaken ? 'another program listens there (`ss -lntp` shows it)' : cause.message;
      fail(
        new Fault(isTaken ? 'conflict' : 'tool', `Cannot serve metadata on ${address}:${port}: ${why}`, {
          cause,
          reason: 'NetworkFailed',
        }),
      );
    };
    server.once('error', failed);
    server.listen({ host: address, port, backlog: 64 }, () => {
      server.off('error', failed);
      done();
    });
  });
}
