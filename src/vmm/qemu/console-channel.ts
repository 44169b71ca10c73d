import { connect, type Socket } from 'node:net';
import { Fault } from '../../domain/fault.ts';
import type { Channel, ChannelInput } from '../../ports/channel.ts';
import type { Files } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { appended } from '../supervisor/growing-file.ts';
import { lengthOf } from '../supervisor/tail.ts';
import { consoleLog, consoleSocket } from './layout.ts';

/**
 * The serial port of a guest, both ways: in by its socket, out by the file that has all that it writes.
 *
 * @throws Fault `refused` when there is no such socket; the signal's reason
 */
export async function openConsole(
  config: Pick<VmmConfig, 'runDirectory' | 'stateDirectory'>,
  files: Pick<Files, 'read' | 'stat' | 'watch'>,
  signal: AbortSignal,
): Promise<Channel> {
  const path = consoleLog(config);
  const from = await lengthOf(files, path);
  const input = await openConsoleSocket(consoleSocket(config), signal);
  return { ...input, read: (reading) => appended(files, path, from, input.closed, reading) };
}

/**
 * Types on the socket of QEMU's serial port, with a connection for each piece
 * that is closed as soon as QEMU has read it.
 *
 * While somebody is connected QEMU sends him what the guest writes, byte by
 * byte, and a socket holds fewer than 300 of those. When it is full QEMU holds
 * the guest up and tries again, each try a byte more in the log: "reeport".
 * So nobody stays connected; what comes meanwhile is read at once and dropped.
 *
 * @throws Fault `refused` when there is no such socket; the signal's reason
 */
export async function openConsoleSocket(path: string, signal: AbortSignal): Promise<ChannelInput> {
  signal.throwIfAborted();
  let current = dial(path);
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>();
  let why: string | undefined;
  const close = (reason: string): void => {
    why ??= reason;
    current.socket.destroy();
    onClosed();
  };
  const refused = (): Fault => new Fault('refused', `Cannot write to the console: ${why}`);

  const onAbort = (): void => void current.socket.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  const wrong = await current.connected;
  signal.removeEventListener('abort', onAbort);
  signal.throwIfAborted();
  if (wrong !== undefined)
    throw new Fault('refused', `Cannot open the console ${path}: ${wrong}; is the guest still running?`);
  current.socket.end();

  const type = async (bytes: Uint8Array): Promise<void> => {
    await current.ended; // QEMU has one client at a time
    if (why !== undefined) throw refused();
    current = dial(path);
    const failed = await current.connected;
    if (failed !== undefined) close(failed);
    if (why !== undefined) throw refused();
    const { socket, ended } = current;
    let isTaken = false;
    const taken = new Promise<void>((resolve) => {
      socket.end(bytes, () => {
        isTaken = true;
        resolve();
      });
    });
    await Promise.race([taken, ended]);
    if (isTaken) return;
    close('QEMU closed it');
    throw refused();
  };

  let last: Promise<void> = Promise.resolve();
  return {
    write: (bytes) => {
      const typed = last.then(() => type(bytes));
      last = typed.catch(() => undefined);
      return typed;
    },
    closed,
    close: () => close('it was closed'),
  };
}

interface Dialled {
  readonly socket: Socket;
  /** What went wrong, if anything. */
  readonly connected: Promise<string | undefined>;
  /** That both sides have closed it. */
  readonly ended: Promise<void>;
}

function dial(path: string): Dialled {
  const socket = connect({ path });
  socket.resume();
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const connected = new Promise<string | undefined>((resolve) => {
    socket.once('connect', () => resolve(undefined));
    socket.on('error', (cause) => resolve(cause.message));
    socket.once('close', () => resolve('it was closed'));
  });
  return { socket, connected, ended };
}
