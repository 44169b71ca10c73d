import { connect } from 'node:net';
import { orAborted } from '../../base/or-aborted.ts';
import { Fault } from '../../domain/fault.ts';
import type { Channel } from '../../ports/channel.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { agentSocket } from './layout.ts';

/**
 * The virtio-serial port of a guest's agent. QEMU lets one client in, and takes
 * what he sends as fast as the guest reads it: some 200 KB where nobody does.
 *
 * @throws Fault `refused` when there is no such port; the signal's reason
 */
export async function openAgent(config: Pick<VmmConfig, 'runDirectory'>, signal: AbortSignal): Promise<Channel> {
  const path = agentSocket(config);
  const socket = connect({ path });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  let failure: Error | undefined;
  socket.on('error', (error) => {
    failure ??= error;
  });
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  try {
    await orAborted(connected, signal);
  } catch (cause) {
    socket.destroy();
    signal.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Fault('refused', `Cannot open the port of the guest agent ${path}: ${why}`, { cause });
  }
  const refused = (): Fault =>
    new Fault('refused', `Cannot write to the guest agent: ${failure?.message ?? 'the port is closed'}`);
  return {
    write: (bytes) =>
      new Promise<void>((resolve, reject) => {
        if (socket.destroyed) return reject(refused());
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
