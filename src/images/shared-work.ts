import { orAborted } from '../base/or-aborted.ts';
import type { OnBytes } from '../ports/images.ts';

/** Does the work; `signal` aborts when nobody wants it any more. */
export type Work<T> = (signal: AbortSignal, report: OnBytes) => Promise<T>;

interface Job<T> {
  readonly done: Promise<T>;
  readonly stop: AbortController;
  readonly listeners: Set<OnBytes>;
  callers: number;
  last: Parameters<OnBytes> | undefined;
}

/**
 * One piece of work at a time for each key, however many ask: who comes while
 * it is under way gets its result. A caller that aborts leaves the others
 * theirs; when the last one has gone the work is aborted, and who asks then
 * waits for its end and begins anew.
 */
export class SharedWork<T> {
  readonly #jobs = new Map<string, Job<T>>();

  isUnderWay(key: string): boolean {
    return this.#jobs.has(key);
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    while (this.#jobs.size > 0) await Promise.allSettled([...this.#jobs.values()].map((job) => job.done));
  }

  async run(key: string, signal: AbortSignal, work: Work<T>, onBytes?: OnBytes): Promise<T> {
    signal.throwIfAborted();
    let job = this.#jobs.get(key);
    while (job?.stop.signal.aborted) {
      await orAborted(
        job.done.catch(() => undefined),
        signal,
      );
      job = this.#jobs.get(key);
    }
    job ??= this.#start(key, work);
    job.callers++;
    const listener: OnBytes = (done, total) => onBytes?.(done, total);
    job.listeners.add(listener);
    if (job.last) listener(...job.last);
    try {
      return await orAborted(job.done, signal);
    } finally {
      job.listeners.delete(listener);
      if (--job.callers === 0) job.stop.abort();
    }
  }

  #start(key: string, work: Work<T>): Job<T> {
    const stop = new AbortController();
    const report: OnBytes = (done, total) => {
      job.last = [done, total];
      for (const listener of job.listeners) listener(done, total);
    };
    const done = (async () => {
      await null; // the job must be in the map before it can end
      try {
        return await work(stop.signal, report);
      } finally {
        this.#jobs.delete(key);
      }
    })();
    done.catch(() => undefined); // all callers may have gone before it fails
    const job: Job<T> = { done, stop, listeners: new Set(), callers: 0, last: undefined };
    this.#jobs.set(key, job);
    return job;
  }
}
