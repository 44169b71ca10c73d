import type { ByteSource } from './reader.ts';

/** Reads a stream of chunks in pieces of any size; holds no more than a chunk beyond what is asked for. */
export class ByteReader implements ByteSource {
  readonly #source: AsyncIterator<Buffer>;
  #left: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async some(max: number): Promise<Buffer | undefined> {
    while (this.#left.length === 0) {
      const next = await this.#source.next();
      if (next.done) return undefined;
      this.#left = next.value;
    }
    const taken = this.#left.subarray(0, max);
    this.#left = this.#left.subarray(taken.length);
    return taken;
  }

  async exactly(count: number): Promise<Buffer> {
    if (this.#left.length >= count) {
      const taken = this.#left.subarray(0, count);
      this.#left = this.#left.subarray(count);
      return taken;
    }
    const parts: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const part = await this.some(missing);
      if (!part) break;
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  async skip(count: number): Promise<number> {
    let left = count;
    while (left > 0) {
      const part = await this.some(left);
      if (!part) break;
      left -= part.length;
    }
    return count - left;
  }
}
