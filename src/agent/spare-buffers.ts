/** One holds a message of 64 KiB with its frames. */
const ROOM_BYTES = 66 << 10;
/** A request is; of those a thousand may be sent at once. */
const SMALL_BYTES = 4 << 10;
/** More are seldom on their way at once; what is kept costs memory where nothing goes. */
const MOST_KEPT = 4;

/**
 * Buffers that are used again once what was in them is sent: each of its own would lie outside of V8's heap, and make it
 * look for garbage. See ADR 0071.
 */
export class SpareBuffers {
  readonly #kept: Buffer[] = [];

  /** @returns one of at least so many bytes, with anything in it: all that is sent of it must be written first */
  take(bytes: number): Buffer {
    if (bytes <= SMALL_BYTES) return Buffer.allocUnsafe(bytes);
    if (bytes > ROOM_BYTES) return Buffer.allocUnsafeSlow(bytes);
    return this.#kept.pop() ?? Buffer.allocUnsafeSlow(ROOM_BYTES);
  }

  /** Nobody reads or writes it any more. @param bytes - of one that was taken, whole or in part, and only once */
  keep(bytes: Uint8Array): void {
    if (bytes.buffer.byteLength === ROOM_BYTES && this.#kept.length < MOST_KEPT)
      this.#kept.push(Buffer.from(bytes.buffer));
  }
}
