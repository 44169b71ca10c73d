import type { Files } from '../../ports/host.ts';
import type { VmmEnd } from '../../ports/vmm.ts';
import { lengthOf, tailOf } from '../supervisor/tail.ts';
import { stoodStill } from './ends.ts';

/** Its last words, with what a panic says before them. */
const TAIL_BYTES = 8 << 10;

/** Sees by the console that a guest has stopped its machine for good, which Firecracker does not tell. */
export class Standstill {
  readonly #files: Files;
  readonly #path: string;
  readonly #advice: string;
  /** Where in the console this run begins, as far as that is known. */
  #from = 0;
  #length = -1;
  #isRead = false;
  #end: VmmEnd | undefined;

  constructor(files: Files, path: string, advice: string) {
    this.#files = files;
    this.#path = path;
    this.#advice = advice;
  }

  /** Its guest has not begun: what stands there are the last words of another run. */
  async begin(): Promise<void> {
    this.#from = await lengthOf(this.#files, this.#path);
  }

  /**
   * Looks. Only what still stands at the end of the console a look later is believed: a guest that runs prints such words, too.
   * @returns undefined: it is not known to have stopped
   */
  async look(): Promise<VmmEnd | undefined> {
    const length = await lengthOf(this.#files, this.#path);
    if (length !== this.#length) {
      this.#length = length;
      this.#isRead = false;
      this.#end = undefined;
    } else if (!this.#isRead && length > this.#from) {
      this.#end = stoodStill(await tailOf(this.#files, this.#path, this.#from, TAIL_BYTES), this.#advice);
      this.#isRead = true;
    }
    return this.#end;
  }
}
