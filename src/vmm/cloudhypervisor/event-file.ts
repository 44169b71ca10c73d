import type { Files } from '../../ports/host.ts';
import { appended } from '../supervisor/growing-file.ts';
import { lengthOf } from '../supervisor/tail.ts';
import { EventParser, type VmmEvent } from './events.ts';

/** So much of what was read is freed at once: a guest that resets its devices over and over writes an event each time. */
const FREE_BYTES = 1 << 20;
/** How much of what there is before is read; who has written more has booted. */
const HISTORY_BYTES = 1 << 20;
const CHUNK_BYTES = 64 << 10;

type Hands = Pick<Files, 'read' | 'stat' | 'watch' | 'punch'>;

/** The events of one process, each read once. */
export class EventFile {
  readonly #files: Hands;
  readonly #path: string;
  readonly #parser = new EventParser();
  #offset = 0;
  #freed = 0;

  constructor(files: Hands, path: string) {
    this.#files = files;
    this.#path = path;
  }

  /** What was told before now, as far as it is still there. @returns whether it was too much to be read whole */
  async history(each: (event: VmmEvent) => void): Promise<boolean> {
    const length = await lengthOf(this.#files, this.#path);
    const isLong = length - this.#offset > HISTORY_BYTES;
    if (isLong) this.#offset = length - HISTORY_BYTES;
    while (this.#offset < length) {
      const data = await this.#files.read(this.#path, { offset: this.#offset, maxBytes: CHUNK_BYTES });
      if (!data || data.length === 0) break;
      this.#take(data, each);
    }
    return isLong;
  }

  /**
   * What is told from then on.
   * @param ended - when it resolves what is there by then is read, and no more
   * @throws the signal's reason
   */
  async follow(each: (event: VmmEvent) => void, ended: Promise<void>, signal: AbortSignal): Promise<void> {
    for await (const piece of appended(this.#files, this.#path, this.#offset, ended, signal)) {
      this.#take(piece, each);
      if (this.#offset - this.#freed < FREE_BYTES) continue;
      await this.#files.punch(this.#path, this.#offset);
      this.#freed = this.#offset;
    }
  }

  #take(piece: Uint8Array, each: (event: VmmEvent) => void): void {
    this.#offset += piece.length;
    for (const event of this.#parser.add(piece)) each(event);
  }
}
