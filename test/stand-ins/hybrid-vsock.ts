import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What Firecracker and Cloud Hypervisor read before they give up: `CONNECT 4294967295` and a line end. */
const MAX_LINE = 32;
/** The first number of those that they give their own end. */
const FIRST_PORT = 1 << 30;
/** The guest agent's own ports: nothing else listens in this guest. */
const PORTS: readonly number[] = [1024, 1025];
/**
 * Of an end of the guest's own half nobody on the host is told: only that it has closed the connection, which the agent does
 * a second later. From here one cannot be told from the other.
 */
const LINGER_MS = 1_200;

/** A guest whose kernel has halted answers nothing, not even that nobody listens: then the VMM gives up. */
const REQUEST_MS = 2_000;

/** The real agent, beside the stand-in; and what is found there before the host's programs: see `as-program.ts`. */
const AGENT = fileURLToPath(new URL('./flintlock-agent', import.meta.url));
const PROGRAMS = fileURLToPath(new URL('./guest-programs', import.meta.url));
/** Whose parent has ended before it was to end with it would stay for ever: it has another parent by then. */
const UNDER_US = ['sh', '-c', '[ "$PPID" = "$0" ] && exec "$@"', String(process.pid)];

/**
 * A vsock as Firecracker and Cloud Hypervisor have it: a unix socket, where who connects asks for a port. What listens there is
 * the real guest agent, as a plain process; in a guest that is told to have none nothing does.
 */
export class HybridVsock {
  readonly path: string;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #waiting = new Set<() => void>();
  #agent: ChildProcess | undefined;
  #name = '';
  #isPaused = false;
  #isHalted = false;
  #next = FIRST_PORT;

  /** Bound when this returns. @throws Node's error, where it cannot be */
  constructor(path: string) {
    this.path = path;
    if (existsSync(path)) throw osError('EADDRINUSE');
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#take(socket));
    this.#server.on('error', () => undefined); // seen by what is not there
    this.#server.listen({ path });
    if (!existsSync(path)) throw osError(existsSync(dirname(path)) ? 'EACCES' : 'ENOENT');
  }

  /** Its guest boots, and has an agent. */
  begin(): void {
    this.#name = `flintlock-agent-${process.pid}-${this.#next}`;
    const ways = ['--listen', `unix:@${this.#name}`, '--listen-ssh', `unix:@${this.#name}-ssh`];
    this.#agent = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...UNDER_US, AGENT, ...ways], {
      stdio: 'ignore',
      env: { PATH: `${PROGRAMS}:/stand-in/${process.pid}:${process.env.PATH ?? ''}` },
    });
    this.#agent.on('error', () => undefined);
  }

  pause(): void {
    this.#isPaused = true;
    this.#agent?.kill('SIGSTOP');
  }

  resume(): void {
    this.#isPaused = false;
    this.#agent?.kill('SIGCONT');
    for (const go of this.#waiting) go();
    this.#waiting.clear();
  }

  /** Its guest shuts down: its init tells all to end, and then its kernel stops for good, while its VMM goes on. */
  halt(): void {
    this.#agent?.once('exit', () => {
      this.#isHalted = true;
    });
    this.#agent?.kill('SIGTERM');
  }

  /** With the socket's file. */
  close(): void {
    this.#agent?.kill('SIGKILL');
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    if (existsSync(this.path)) unlinkSync(this.path);
  }

  #take(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    socket.on('error', () => socket.destroy());
    let head = Buffer.alloc(0);
    const onData = (bytes: Buffer): void => {
      head = Buffer.concat([head, bytes]);
      const end = head.indexOf('\n');
      if (end < 0 && head.length < MAX_LINE) return;
      socket.off('data', onData);
      socket.pause();
      const port = /^(?:connect|CONNECT) (\d+)$/.exec(head.subarray(0, Math.max(0, end)).toString('latin1'))?.[1];
      if (end < 0 || end >= MAX_LINE || port === undefined) return void socket.destroy();
      const rest = head.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      const go = (): void => this.#reach(socket, Number(port));
      if (this.#isPaused) this.#waiting.add(go);
      else go();
    };
    socket.on('data', onData);
  }

  #reach(socket: Socket, port: number): void {
    if (this.#isHalted) return void setTimeout(() => socket.destroy(), REQUEST_MS);
    if (!this.#agent || !PORTS.includes(port)) return void socket.destroy();
    const inner = connect({ path: `\0${this.#name}${port === 1025 ? '-ssh' : ''}`, allowHalfOpen: true });
    this.#open.add(inner);
    const close = (): void => {
      inner.destroy();
      socket.destroy();
    };
    inner.once('close', () => {
      this.#open.delete(inner);
      close();
    });
    inner.on('error', close);
    inner.once('connect', () => {
      socket.write(`OK ${this.#next++}\n`);
      inner.pipe(socket, { end: false });
      // The end of what the host sends is the end of all.
      socket.once('end', close);
      socket.pipe(inner, { end: false });
    });
    inner.once('end', () => setTimeout(close, LINGER_MS));
    socket.once('close', close);
  }
}

const ERRNO = { ENOENT: 2, EACCES: 13, EADDRINUSE: 98 } as const;

const osError = (code: keyof typeof ERRNO): Error => Object.assign(new Error(code), { code, errno: -ERRNO[code] });
