import type { Progress, Uid } from '../domain/microvm.ts';

/** What is being done for each microVM now. In memory: it is about this daemon's work only. */
export class ProgressBoard {
  readonly #now = new Map<Uid, Progress>();

  set(uid: Uid, progress: Progress): void {
    this.#now.set(uid, progress);
  }

  clear(uid: Uid): void {
    this.#now.delete(uid);
  }

  of(uid: Uid): Progress | undefined {
    return this.#now.get(uid);
  }
}
