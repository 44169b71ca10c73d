import { connect, type Socket } from 'node:net';
import { orAborted } from '../../base/or-aborted.ts';
import { Fault } from '../../domain/fault.ts';
import type { Channel } from '../../ports/channel.ts';

/**
 * Connects to a unix socket.
 * @throws Node's error; the signal's reason
 */
export async function connected(path: string, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ path });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('connect', resolve);
  // What comes later is told by who reads and writes.
  socket.on('error', reject);
  try {
    await orAborted(promise, signal);
    return socket;
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw error;
  }
}

/** A connected socket as a channel. @param what - for sentences: `the guest agent` */
export function socketChannel(socket: Socket, what: string): Channel {
  const closed = new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
  let failure: Error | undefined;
  socket.on('error', (error) => {
    failure ??= error;
  });
  const refused = (): Fault =>
    new Fault('refused', `Cannot write to ${what}: ${failure?.message ?? 'the connection is closed'}`);
  return {
    write: (bytes) =>
      new Promise<void>((resolve, reject) => {
        if (socket.destroyed || !socket.writable) return reject(refused());
        // What is written in one go goes in one: each piece that a guest is given costs it an interrupt.
        socket.cork();
        process.nextTick(() => socket.uncork());
        socket.write(bytes, (error) => (error ? reject(refused()) : resolve()));
      }),
    async *read(reading) {
      const onAbort = (): void => void socket.destroy();
      reading.addEventListener('abort', onAbort, { once: true });
      try {
        for await (const bytes of socket) yield bytes as Uint8Array;
      } catch (error) {
        reading.throwIfAborted();
        if (failure) throw refused();
        if (!socket.destroyed) throw error;
      } finally {
        reading.removeEventListener('abort', onAbort);
      }
    },
    closed,
    close: () => void socket.destroy(),
  };
}
