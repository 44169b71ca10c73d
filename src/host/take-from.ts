import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import { isErrno } from './run.ts';

const PIECE_BYTES = 64 << 10;

/** Takes what is in a FIFO by now. Without waiting: where there is nothing, or nobody writes, that is empty (fifo(7)). */
export function takeFrom(path: string, maxBytes: number): Uint8Array {
  const fd = openToRead(path);
  const pieces: Buffer[] = [];
  let left = maxBytes;
  try {
    while (left > 0) {
      const piece = Buffer.alloc(Math.min(left, PIECE_BYTES));
      const length = readSync(fd, piece);
      if (length === 0) break;
      pieces.push(piece.subarray(0, length));
      left -= length;
    }
  } catch (cause) {
    if (!isErrno(cause, 'EAGAIN')) throw new Fault('tool', `Cannot read ${path}: ${errorMessage(cause)}`, { cause });
  } finally {
    closeSync(fd);
  }
  return Buffer.concat(pieces);
}

function openToRead(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (cause) {
    throw new Fault('refused', `Cannot read ${path}: ${errorMessage(cause)}`, { cause });
  }
  if (fstatSync(fd).isFIFO()) return fd;
  closeSync(fd);
  throw new Fault('refused', `Cannot read ${path}: it is no FIFO`);
}
