import { createServer, type Server, type Socket } from 'node:net';
import type { TLSSocket, Server as TlsServer } from 'node:tls';
import type { Endpoint } from './endpoint.ts';
import type { Peer } from './gate.ts';
import { type ListenOptions, listen, MAX_CONNECTIONS } from './listen.ts';
import type { RareLog } from './rare-log.ts';
import { refuse, type Speech, speechOf } from './refusal.ts';
import { certificateFault, createTerminator, subjectOf, type TlsSource } from './tls.ts';
import { WAITS, type Waits } from './waits.ts';

export interface FrontOptions {
  /** What is served here. */
  readonly protocol: 'h2' | 'http/1.1';
  /** On TCP; absent: plain text. A unix socket is always plain. */
  readonly tls?: TlsSource;
  readonly rare: RareLog;
  /** Gets each connection that speaks what is served, before a byte of it is read. */
  take(socket: Socket, peer: Peer): void;
  readonly limits?: Partial<Limits>;
  readonly waits?: Partial<Waits>;
}

export interface Limits {
  /** Connections of one listener, and of one address among them. */
  readonly connections: number;
  readonly ofOneAddress: number;
}

/** Far more than a host's clients hold, far less than a process may open. */
const LIMITS: Limits = { connections: MAX_CONNECTIONS, ofOneAddress: 1_024 };
/** A peer that vanished without a word is found by TCP then. */
const KEEP_ALIVE_MS = 30_000;

/**
 * The door of one endpoint: it bounds connections, looks at their first bytes,
 * takes TLS off, and turns away with a reason what is not served here.
 */
export class Front {
  readonly #options: FrontOptions;
  readonly #limits: Limits;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Those that nobody has taken yet. */
  readonly #waiting = new Set<Socket>();
  readonly #addresses = new Map<string, number>();
  #terminator: TlsServer | undefined;

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#server = createServer({ noDelay: true });
    this.#server.on('drop', () =>
      options.rare.warn('connections', 'connections were refused: there are too many', {
        most: this.#limits.connections,
      }),
    );
  }

  /** @throws Fault `refused` when somebody else has the endpoint */
  async listen(endpoint: Endpoint, options?: ListenOptions): Promise<Endpoint> {
    const { tls, protocol } = this.#options;
    if (tls && endpoint.kind === 'tcp') this.#terminator = this.#terminate(tls, protocol);
    this.#server.on('connection', (socket) => this.#arrive(socket, endpoint.kind));
    const bound = await listen(this.#server, endpoint, { ...options, maxConnections: this.#limits.connections });
    this.#server.on('error', (error) => this.#options.rare.warn('listener', 'a listener failed', { error }));
    return bound;
  }

  /** Accepts no more; resolves once every connection has ended. Those that have said nothing end at once. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#terminator?.close();
    for (const socket of this.#waiting) socket.destroy();
    await closed;
  }

  /** Cuts what is left. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #arrive(socket: Socket, kind: Peer['kind']): void {
    socket.on('error', () => undefined); // whoever takes it listens too
    const address = kind === 'unix' ? 'unix' : addressOf(socket);
    if (address === undefined) return void socket.destroy(); // gone already
    const count = (this.#addresses.get(address) ?? 0) + 1;
    this.#addresses.set(address, count);
    this.#sockets.add(socket);
    socket.once('close', () => this.#left(socket, address));
    if (kind === 'tcp') {
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      if (count > this.#limits.ofOneAddress) {
        const most = this.#limits.ofOneAddress;
        this.#options.rare.warn(`many ${address}`, 'a connection was refused: too many of one address', {
          from: address,
          most,
        });
        return void socket.destroy();
      }
    }
    this.#waiting.add(socket);
    firstBytes(socket, this.#options.waits?.firstBytesMs ?? WAITS.firstBytesMs, (speech) => {
      this.#waiting.delete(socket);
      if (speech === undefined) socket.destroy();
      else this.#hand(socket, speech, { kind, address });
    });
  }

  #left(socket: Socket, address: string): void {
    this.#sockets.delete(socket);
    this.#waiting.delete(socket);
    const count = (this.#addresses.get(address) ?? 1) - 1;
    if (count > 0) this.#addresses.set(address, count);
    else this.#addresses.delete(address);
  }

  #hand(socket: Socket, speech: Speech, peer: Peer): void {
    if (this.#terminator) {
      if (speech === 'tls') this.#terminator.emit('connection', socket);
      else this.#turnAway(socket, speech, peer, 'This port speaks TLS, and this is plain text: connect with TLS');
      return;
    }
    const wanted = this.#options.protocol === 'h2' ? 'http2' : 'http1';
    if (speech === wanted) this.#options.take(socket, peer);
    else this.#turnAway(socket, speech, peer, this.#strange(speech));
  }

  #strange(speech: Speech): string {
    if (speech === 'tls') return 'This port speaks plain text, and this is TLS: connect without TLS';
    return this.#options.protocol === 'h2'
      ? 'This port speaks gRPC (HTTP/2): HTTP/1 with JSON is served at --http-endpoint'
      : 'This port speaks HTTP/1.1 with JSON: gRPC is served at --grpc-endpoint';
  }

  #turnAway(socket: Socket, speech: Speech, { address }: Peer, why: string): void {
    this.#options.rare.warn(`${why} ${address}`, 'a connection was refused', { from: address, why });
    refuse(socket, speech, why);
  }

  #terminate(tls: TlsSource, protocol: 'h2' | 'http/1.1'): TlsServer {
    const server = createTerminator(tls, protocol, this.#options.waits?.handshakeMs ?? WAITS.handshakeMs);
    const isAsked = (): boolean => tls.current().clientCa !== undefined;
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => undefined);
      const address = addressOf(socket);
      if (address === undefined) return void socket.destroy();
      const peer: Peer = { kind: 'tcp', address };
      const speech = socket.alpnProtocol === 'h2' ? 'http2' : 'http1';
      if (protocol === 'h2' && speech === 'http1')
        return this.#turnAway(socket, speech, peer, `${this.#strange(speech)}; by TLS it is chosen with ALPN h2`);
      if (!isAsked()) return this.#options.take(socket, peer);
      const wrong = certificateFault(socket);
      if (wrong !== undefined) return this.#turnAway(socket, speech, peer, `Not let in: ${wrong}`);
      const certificate = subjectOf(socket);
      this.#options.take(socket, { ...peer, ...(certificate !== undefined && { certificate }) });
    });
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      const from = addressOf(socket) ?? 'unknown';
      const why = error.code ?? error.message;
      // Whoever only looked whether the port is open has done nothing wrong.
      if (why !== 'ECONNRESET') this.#options.rare.warn(`tls ${why} ${from}`, 'a TLS connection failed', { from, why });
      socket.destroy();
    });
    return server;
  }
}

/** An IPv4 address in IPv6's clothes is that IPv4 address. */
const addressOf = ({ remoteAddress }: Socket): string | undefined => remoteAddress?.replace(/^::ffff:(?=\d+\.)/i, '');

/** Looks at what comes first and puts it back. */
function firstBytes(socket: Socket, limitMs: number, done: (speech: Speech | undefined) => void): void {
  let head: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  const finish = (speech: Speech | undefined): void => {
    clearTimeout(late);
    socket.off('readable', look);
    socket.off('close', gone);
    socket.off('end', gone);
    if (head.length > 0) socket.unshift(head);
    done(speech);
  };
  const gone = (): void => finish(undefined);
  const look = (): void => {
    const piece: Buffer | null = socket.read();
    if (piece === null) return;
    head = Buffer.concat([head, piece]);
    const speech = speechOf(head);
    if (speech !== undefined) finish(speech);
  };
  const late = setTimeout(gone, limitMs);
  socket.on('readable', look);
  socket.once('close', gone);
  socket.once('end', gone);
}
