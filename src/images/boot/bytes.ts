import type { Files } from '../../ports/host.ts';

/** Bytes that are read where they are wanted: what is looked at may be large, and is never read whole. */
export interface Bytes {
  readonly size: number;
  /** From `offset`, as many as are asked for, or up to the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

const NOTHING = new Uint8Array(0);

/** Of a file. One that was cut short or went meanwhile reads as if it ended there. */
export const bytesOf = (files: Pick<Files, 'read'>, path: string, size: number): Bytes => ({
  size,
  read: async (offset, length) =>
    offset >= size || length <= 0
      ? NOTHING
      : ((await files.read(path, { offset, maxBytes: Math.min(length, size - offset) })) ?? NOTHING),
});

export const bytesIn = (data: Uint8Array): Bytes => ({
  size: data.length,
  read: async (offset, length) => data.subarray(offset, offset + Math.max(0, length)),
});

/** A range of others. */
export const rangeOf = (bytes: Bytes, from: number, size: number): Bytes => ({
  size: Math.max(0, Math.min(size, bytes.size - from)),
  read(offset, length) {
    return bytes.read(from + offset, Math.min(length, this.size - offset));
  },
});

/** Pieces of one MiB at most. */
export async function* piecesOf(bytes: Bytes, signal: AbortSignal, pieceBytes = 1 << 20): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.size; at += pieceBytes) {
    signal.throwIfAborted();
    const piece = await bytes.read(at, Math.min(pieceBytes, bytes.size - at));
    if (piece.length === 0) return;
    yield piece;
  }
}

/** For numbers at offsets. */
export const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);

/** Whether bytes begin so, from an offset on. */
export const hasAt = (data: Uint8Array, offset: number, expected: readonly number[] | string): boolean => {
  const wanted = typeof expected === 'string' ? [...Buffer.from(expected, 'latin1')] : expected;
  return data.length >= offset + wanted.length && wanted.every((byte, i) => data[offset + i] === byte);
};
