import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import type { ChannelInput } from '../ports/channel.ts';
import { isErrno } from './run.ts';

/** Opens a FIFO to write. Without waiting: where nobody reads, it says so at once (fifo(7)). */
export function typeInto(path: string): ChannelInput {
  const socket = new Socket({ fd: openToWrite(path), readable: false, writable: true });
  const wordsOf = (error: Error): string => (isErrno(error, 'EPIPE') ? 'nobody reads it any more' : error.message);
  let why: string | undefined;
  socket.on('error', (error) => {
    why = wordsOf(error);
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.write(bytes, (error) => {
          if (!error) return resolve();
          const reason = why ?? (socket.destroyed && !isErrno(error, 'EPIPE') ? 'it was closed' : wordsOf(error));
          reject(new Fault('refused', `Cannot write to ${path}: ${reason}`, { cause: error }));
        });
      }),
    closed,
    close: () => void socket.destroy(),
  };
}

function openToWrite(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (cause) {
    const reason = isErrno(cause, 'ENXIO') ? 'nobody reads it' : errorMessage(cause);
    throw new Fault('refused', `Cannot write to ${path}: ${reason}`, { cause });
  }
  if (fstatSync(fd).isFIFO()) return fd;
  closeSync(fd);
  throw new Fault('refused', `Cannot write to ${path}: it is no FIFO`);
}
