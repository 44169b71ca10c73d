import { HEAD_BYTES, isPacked, joined, lengthIn, notSaidHow } from '../request-body.ts';
import { tooLong } from './refusals.ts';

/** The messages of a request out of the pieces in which it comes: each is put together once, when it is whole. */
export class Envelopes {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #size = 0;
  /** With its head; until that is there it is not known. */
  #needed = HEAD_BYTES;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Of the message that comes next, with its head, as far as is known. */
  get neededBytes(): number {
    return this.#needed;
  }

  /** So many bytes are there of what has not been taken. */
  get bytes(): number {
    return this.#size;
  }

  /** @throws ConnectError RESOURCE_EXHAUSTED where its message is too long */
  add(piece: Uint8Array): void {
    this.#parts.push(piece);
    this.#size += piece.length;
    this.#look();
  }

  /**
   * The next message without its head; absent: it is not whole.
   * @throws ConnectError
   */
  take(): Uint8Array | undefined {
    if (this.#size < HEAD_BYTES || this.#size < this.#needed) return undefined;
    const bytes = joined(this.#parts);
    const envelope = bytes.subarray(0, this.#needed);
    if (isPacked(envelope)) throw notSaidHow();
    const rest = bytes.subarray(this.#needed);
    this.#parts = rest.length > 0 ? [rest] : [];
    this.#size = rest.length;
    this.#needed = HEAD_BYTES;
    this.#look();
    return envelope.subarray(HEAD_BYTES);
  }

  #look(): void {
    if (this.#needed > HEAD_BYTES || this.#size < HEAD_BYTES) return;
    const [first = new Uint8Array()] = this.#parts;
    const length = lengthIn(first.length >= HEAD_BYTES ? first : joined(this.#parts));
    if (length > this.#maxBytes) throw tooLong(length, this.#maxBytes);
    this.#needed = HEAD_BYTES + length;
  }
}
