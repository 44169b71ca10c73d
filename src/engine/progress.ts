import type { Progress, Uid } from '../domain/microvm.ts';
import type { OnBytes } from '../ports/images.ts';

/** One step that is being made or unmade. */
export interface Work {
  readonly onBytes: OnBytes;
  end(): void;
}

/** What is being done for each microVM now. In memory: it is about this daemon's work only. */
export class ProgressBoard {
  readonly #now = new Map<Uid, Set<{ progress: Progress }>>();

  begin(uid: Uid, progress: Progress): Work {
    const work = { progress };
    const all = this.#now.get(uid) ?? new Set();
    this.#now.set(uid, all.add(work));
    return {
      onBytes(doneBytes, totalBytes) {
        work.progress = { ...work.progress, doneBytes, totalBytes };
      },
      end: () => {
        all.delete(work);
        if (all.size === 0 && this.#now.get(uid) === all) this.#now.delete(uid);
      },
    };
  }

  /** Of several the one that began first: it is what the others will wait for. */
  of(uid: Uid): Progress | undefined {
    const [first] = this.#now.get(uid) ?? [];
    return first?.progress;
  }
}
