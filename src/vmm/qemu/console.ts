import { connect } from 'node:net';
import { Fault } from '../../domain/fault.ts';
import type { ConsoleInput } from '../../ports/vmm.ts';

/**
 * Connects to the socket of QEMU's serial port. What comes from there is read
 * at once and dropped: QEMU writes the log by itself, and waits for a client
 * that does not read, with the guest and its log.
 *
 * @throws Fault `refused` when there is no such socket; the signal's reason
 */
export function openConsoleSocket(path: string, signal: AbortSignal): Promise<ConsoleInput> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = connect({ path });
    const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>();
    let why = 'it was closed';
    const onAbort = (): void => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.resume();
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      resolve({ write, closed, close: () => socket.destroy() });
    });
    socket.on('error', (cause) => {
      why = cause.message;
      const told = `Cannot open the console ${path}: ${cause.message}; is the guest still running?`;
      reject(new Fault('refused', told, { cause }));
    });
    socket.once('close', () => {
      signal.removeEventListener('abort', onAbort);
      onClosed();
    });

    const write = (bytes: Uint8Array): Promise<void> =>
      new Promise((taken, fail) => {
        const refuse = (): void => fail(new Fault('refused', `Cannot write to the console: ${why}`));
        if (socket.destroyed) return refuse();
        socket.write(bytes, (error) => (error ? refuse() : taken()));
      });
  });
}
