import { createServer, type Server, type Socket } from 'node:net';
import { Code, ConnectError } from '@connectrpc/connect';
import { hostAndPort } from './address.ts';
import type { Context } from './context.ts';
import { EXIT, Problem } from './exit.ts';
import { type FarEnd, joinPort, type NearEnd } from './join-port.ts';
import { farText, type PortMap } from './port-maps.ts';

/** At a time: an agent has 100 for all who call. */
const MAX_CONNECTIONS = 90;
/** The same trouble is told again after this long, in milliseconds. */
const REPEAT_MS = 10_000;

/** The microVM, and its name for the user. */
interface Guest {
  readonly uid: string;
  readonly host: string;
  readonly name: string;
}

/** Listens here for servers of a guest, until it is stopped. */
export class LocalPorts {
  readonly #context: Context;
  readonly #guest: Guest;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #joined = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  readonly #gone = Promise.withResolvers<never>();
  #told = { text: '', at: 0 };

  constructor(context: Context, guest: Guest) {
    this.#context = context;
    this.#guest = guest;
    this.gone.catch(() => undefined); // perhaps nobody waits for it
  }

  /** Rejects when there is no such microVM any more. */
  get gone(): Promise<never> {
    return this.#gone.promise;
  }

  /** @returns where it listens, with the port that was taken; @throws Problem */
  async listen({ address, port, far }: PortMap): Promise<string> {
    // Each end by itself: who has said all may still be answered.
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
      this.#take(socket, far),
    );
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(listenProblem(hostAndPort({ host: address, port }), cause)),
      );
      server.listen({ host: address, port }, resolve);
    });
    const at = server.address();
    return hostAndPort({ host: address, port: typeof at === 'object' && at ? at.port : port });
  }

  /** Resolves when nothing of it is left. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([...closed, ...this.#joined]);
  }

  #take(socket: Socket, far: FarEnd['far']): void {
    socket.on('error', () => undefined); // the connection's own: see #join
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      socket.resetAndDestroy();
      void this.#tell(`${MAX_CONNECTIONS} connections are open at once, and one more was refused`);
      return;
    }
    this.#sockets.add(socket);
    const joined = this.#join(socket, far).finally(() => {
      this.#sockets.delete(socket);
      this.#joined.delete(joined);
    });
    this.#joined.add(joined);
  }

  async #join(socket: Socket, far: FarEnd['far']): Promise<void> {
    const { uid, host, name } = this.#guest;
    const left = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, left.signal]);
    try {
      await joinPort(this.#context, { uid, host, far }, nearOf(socket, left), signal);
      socket.destroySoon();
    } catch (error) {
      // What was cut off must not look whole.
      socket.resetAndDestroy();
      if (signal.aborted) return;
      const problem = await this.#context.explain(error, `Cannot forward to ${farText(far)} of ${name}`);
      if (error instanceof ConnectError && error.code === Code.NotFound) this.#gone.reject(problem);
      else await this.#tell(problem.message);
    }
  }

  async #tell(text: string): Promise<void> {
    const now = this.#context.io.now();
    if (text === this.#told.text && now - this.#told.at < REPEAT_MS) return;
    this.#told = { text, at: now };
    await this.#context.err(`flintlock: ${text}\n`);
  }
}

/** @param left - aborted when it breaks off: that is no end, and the server must see none */
function nearOf(socket: Socket, left: AbortController): NearEnd {
  socket.once('error', (error) => left.abort(error));
  return {
    // By itself its end would end what is still to be written, too.
    bytes: socket.iterator({ destroyOnReturn: false }),
    // Of one that is closed the reading side tells.
    write: (bytes) => new Promise((resolve) => socket.write(bytes, () => resolve())),
    end: () => void socket.end(),
  };
}

function listenProblem(where: string, cause: NodeJS.ErrnoException): Problem {
  const what = `Cannot listen on ${where}`;
  const problem = (why: string, ...hints: string[]): Problem =>
    new Problem(EXIT.failed, `${what}: ${why}`, { cause, hints });
  switch (cause.code) {
    case 'EADDRINUSE':
      return problem('something listens there already', 'Take another: LOCAL:REMOTE; LOCAL 0 takes one that is free.');
    case 'EACCES':
      return problem('not permitted', 'Ports below 1024 are for root: take another as LOCAL:REMOTE.');
    case 'EADDRNOTAVAIL':
      return problem('this machine has no such address');
    default:
      return problem(cause.message);
  }
}
