import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';

/** What the nested host has for us, each a line of its own: what becomes of it, its command's output, its kernel's words. */
export const PORTS = ['status', 'stdout', 'stderr', 'console'] as const;
export type Port = (typeof PORTS)[number];

export const portPath = (directory: string, port: Port): string => join(directory, port);

/** Takes what comes of a port; a false means that it waits for `drain` before it takes more. */
export interface Sink {
  write(data: Uint8Array): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

export interface OpenPorts {
  /** Resolves when QEMU has closed all of them: nothing more will come. */
  readonly closed: Promise<unknown>;
  close(): void;
}

/** Listens for QEMU, which connects to each port once. */
export async function openPorts(directory: string, sinks: Readonly<Record<Port, Sink>>): Promise<OpenPorts> {
  const sockets = new Set<Socket>();
  const servers = PORTS.map((port) => {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined); // QEMU was killed; `close` follows
      socket.on('data', (data: Buffer) => {
        if (sinks[port].write(data)) return;
        socket.pause();
        sinks[port].once('drain', () => socket.resume());
      });
    });
    return server.listen(portPath(directory, port));
  });
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const over = servers.map(async (server) => {
    const [socket] = (await once(server, 'connection')) as [Socket];
    await once(socket, 'close');
  });
  const closed = Promise.all(over);
  closed.catch(() => undefined); // nobody may be waiting for it any more
  return {
    closed,
    close() {
      for (const server of servers) server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Bytes as lines; whoever asks for the next one waits for it. */
export class Lines {
  #rest = '';
  readonly #lines: string[] = [];
  #waiting: ((line: string) => void) | undefined;

  write(data: Uint8Array): boolean {
    const lines = (this.#rest + Buffer.from(data).toString()).split('\n');
    this.#rest = lines.pop() ?? '';
    this.#lines.push(...lines);
    if (this.#waiting !== undefined && this.#lines.length > 0) {
      this.#waiting(this.#lines.shift() ?? '');
      this.#waiting = undefined;
    }
    return true;
  }

  next(): Promise<string> {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  /** It takes everything at once. */
  once(): void {}
}

/** The end of a text. */
export class Tail {
  readonly #limit: number;
  #text = '';

  constructor(limit: number) {
    this.#limit = limit;
  }

  get text(): string {
    return this.#text;
  }

  add(data: Uint8Array): void {
    this.#text = (this.#text + Buffer.from(data).toString('latin1')).slice(-this.#limit);
  }
}
