import type { Socket } from 'node:net';
import { orAborted } from '../../base/or-aborted.ts';
import { TimeLimit } from '../../base/time-limit.ts';
import { Fault } from '../../domain/fault.ts';
import type { Channel } from '../../ports/channel.ts';
import type { Files } from '../../ports/host.ts';
import { connected, socketChannel } from './socket-channel.ts';

/** The number of a guest on its own vsock, which no other guest shares: the first that is nobody's. @see vsock(7) */
export const GUEST_CID = 3;

/** A VMM gives its guest 2 s for an answer, and a slow host more. */
const ANSWER_MS = 10_000;
/** `OK 4294967295` and a line end. */
const MAX_LINE = 32;

/** Where a VMM listens for connections to its guest's vsock. */
export interface VsockDoor {
  readonly path: string;
  /** Who made it: the VMM's own user. */
  readonly user: number;
}

/**
 * Connects to a port of a guest by the unix socket of its VMM: `CONNECT PORT`, answered with `OK` and a number, and from then on
 * it is the connection. There are no halves of it: the end of what we send ends it whole, and of an end of the guest's own
 * half we are told nothing.
 *
 * The directory may be the VMM's user's. So only his own socket is connected to, and no link is followed: what has broken out
 * of a guest must not lead us to another one's.
 *
 * @throws Fault `refused` when there is no such socket; `tool` when nothing answers on that port, or not in time; the
 * signal's reason
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/docs/vsock.md
 */
export async function dialVsock(
  { path, user }: VsockDoor,
  port: number,
  files: Pick<Files, 'pinSocket'>,
  signal: AbortSignal,
): Promise<Channel> {
  using limit = new TimeLimit(signal, ANSWER_MS);
  let socket: Socket | undefined;
  try {
    socket = await open(path, user, files, limit.signal);
    socket.write(`CONNECT ${port}\n`);
    const line = await orAborted(firstLine(socket), limit.signal);
    if (!/^OK \d+$/.test(line)) throw nobody(port, `the VMM answered ${JSON.stringify(line)}`);
    return socketChannel(socket, 'the guest agent');
  } catch (error) {
    socket?.destroy();
    signal.throwIfAborted();
    if (error instanceof Fault) throw error;
    throw nobody(port, limit.isLate ? `there was no answer in ${ANSWER_MS / 1000} s` : textOf(error));
  }
}

async function open(path: string, user: number, files: Pick<Files, 'pinSocket'>, signal: AbortSignal): Promise<Socket> {
  const pinned = await files.pinSocket(path, user);
  if (!pinned) throw new Fault('refused', `There is no vsock of the guest at ${path}`);
  try {
    return await connected(pinned.path, signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw new Fault('refused', `Cannot connect to the vsock of the guest at ${path}: ${textOf(cause)}`, { cause });
  } finally {
    await pinned.release();
  }
}

/** What comes behind it is left to be read. */
function firstLine(socket: Socket): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let head = Buffer.alloc(0);
  const stop = (): void => {
    socket.off('readable', onReadable);
    socket.off('end', onEnd);
    socket.off('close', onEnd);
  };
  const onEnd = (): void => {
    stop();
    reject(new Error('it was closed without an answer'));
  };
  function onReadable(): void {
    for (let piece = read(socket); piece; piece = read(socket)) {
      head = Buffer.concat([head, piece]);
      const end = head.indexOf('\n');
      if (end < 0 && head.length < MAX_LINE) continue;
      stop();
      const rest = head.subarray(end < 0 ? head.length : end + 1);
      if (rest.length > 0) socket.unshift(rest);
      resolve(head.subarray(0, end < 0 ? MAX_LINE : end).toString('latin1'));
      return;
    }
  }
  socket.on('readable', onReadable);
  socket.once('end', onEnd);
  socket.once('close', onEnd);
  return promise;
}

function read(socket: Socket): Buffer | undefined {
  const piece: unknown = socket.read();
  return piece instanceof Buffer ? piece : undefined;
}

const nobody = (port: number, why: string): Fault =>
  new Fault('tool', `Nothing answers on port ${port} of the guest's vsock: ${why}`);

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
