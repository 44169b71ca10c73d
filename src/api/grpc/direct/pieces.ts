import { PIECE_BYTES } from '../../flow/flow.ts';
import { HEAD_BYTES } from '../request-body.ts';

/**
 * Messages as they are sent, each behind its head: many short ones make one
 * piece, and a long one is never copied as a whole.
 *
 * @param messages - each in its parts
 */
export function* inPieces(messages: readonly (readonly Uint8Array[])[]): Generator<Uint8Array> {
  let left = 0;
  for (const parts of messages) left += HEAD_BYTES + lengthOf(parts);
  let piece = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES));
  let at = 0;
  for (const parts of messages)
    for (const part of [headOf(parts), ...parts])
      for (let from = 0; from < part.length; ) {
        const taken = Math.min(part.length - from, piece.length - at);
        piece.set(taken === part.length ? part : part.subarray(from, from + taken), at);
        from += taken;
        at += taken;
        if (at < piece.length) continue;
        yield piece;
        left -= at;
        piece = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES));
        at = 0;
      }
}

/** It is not packed. @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests */
function headOf(parts: readonly Uint8Array[]): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(lengthOf(parts), 1);
  return head;
}

function lengthOf(parts: readonly Uint8Array[]): number {
  let length = 0;
  for (const part of parts) length += part.length;
  return length;
}
