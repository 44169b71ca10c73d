import { connect, type Socket } from 'node:net';
import type { Port } from './bytes.ts';
import type { Sockets } from './callers.ts';

/** How often one that is slow sends a byte. */
const DRIP_MS = 500;

const SLOW: Readonly<Record<Port, string>> = {
  grpc: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  http: `POST /v1/namespaces/default/microvms HTTP/1.1\r\nHost: x\r\n${'X: y\r\n'.repeat(1_000)}`,
};

/**
 * Callers that take their time, for as long as they are let: on each port
 * some that say nothing, some that say a byte at a time, and some that ask
 * for everything that is told and read none of it. Who is cut off comes back.
 *
 * @returns how to end them
 */
export function idlers(sockets: Sockets, count: number): () => void {
  const open = new Set<Socket>();
  let ended = false;
  const keep = (port: Port, act: (socket: Socket) => void): void => {
    if (ended) return;
    const socket = connect(sockets[port], () => act(socket));
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      open.delete(socket);
      setTimeout(() => keep(port, act), DRIP_MS);
    });
  };
  const drip =
    (text: string) =>
    (socket: Socket): void => {
      let at = 0;
      const timer = setInterval(() => {
        if (socket.destroyed || at >= text.length) clearInterval(timer);
        else socket.write(text[at++] ?? '');
      }, DRIP_MS);
      socket.resume();
    };
  for (const port of ['grpc', 'http'] as const)
    for (let i = 0; i < count; i++) {
      keep(port, () => undefined);
      keep(port, drip(SLOW[port]));
    }
  for (let i = 0; i < count / 4; i++)
    keep('http', (socket) => {
      socket.pause();
      socket.write('GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n');
    });
  return () => {
    ended = true;
    for (const socket of open) socket.destroy();
  };
}
