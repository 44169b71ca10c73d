import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Where the first connection is cut: before the frame with this number (from 0) of this side is passed on. */
export interface Cut {
  readonly of: 'client' | 'server';
  readonly before: number;
}

export interface CuttingProxy {
  readonly port: number;
  /** Whether the first connection came so far. */
  readonly hasCut: boolean;
  close(): Promise<void>;
}

/** RFC 9113 section 3.4: what a client sends before its first frame. */
const PREFACE = 24;
/** Section 4.1: three bytes of length, type, flags, stream. */
const HEADER = 9;

/** Frames of one side of HTTP/2, whole. */
class Frames {
  #rest: Buffer;
  #skip: number;

  constructor(skip: number) {
    this.#rest = Buffer.alloc(0);
    this.#skip = skip;
  }

  take(bytes: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const found: Buffer[] = [];
    for (;;) {
      const size = this.#skip + HEADER;
      if (this.#rest.length < size) return found;
      const end = size + this.#rest.readUIntBE(this.#skip, 3);
      if (this.#rest.length < end) return found;
      found.push(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
      this.#skip = 0;
    }
  }
}

/** What people put between a client and the daemon, on a bad day: plain HTTP/2 whose first connection is cut at one frame. */
export async function startCuttingProxy(target: { readonly port: number }, cut: Cut): Promise<CuttingProxy> {
  const open = new Set<Socket>();
  let connections = 0;
  let hasCut = false;
  const server = createServer((client) => {
    const isFirst = connections++ === 0;
    const upstream = connect(target.port, '127.0.0.1');
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        open.delete(socket);
        end();
      });
    }
    const pass = (side: Cut['of'], from: Socket, to: Socket): void => {
      const frames = new Frames(side === 'client' ? PREFACE : 0);
      let passed = 0;
      from.on('data', (bytes: Buffer) => {
        for (const frame of frames.take(bytes)) {
          if (isFirst && cut.of === side && passed++ === cut.before) {
            hasCut = true;
            // What was passed on arrives: only then is the line dead.
            to.end();
            from.destroy();
            return;
          }
          to.write(frame);
        }
      });
    };
    pass('client', client, upstream);
    pass('server', upstream, client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get hasCut() {
      return hasCut;
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
