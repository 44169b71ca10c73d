import { statSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { errorMessage } from '../base/error-text.ts';
import { Periodic } from '../base/periodic.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';

/** A value that is read from files, and read again when they change. */
export interface Fresh<T> {
  current(): T;
  /** @returns how to stop listening */
  onChange(listener: () => void): () => void;
  /** Looks now whether a file has changed. */
  look(): void;
  close(): void;
}

export interface FreshOptions<T> {
  /** For the log: `the TLS certificate`. */
  readonly what: string;
  readonly paths: readonly string[];
  /** @throws Fault that says what is wrong with them, and nothing of what is in them */
  readonly load: () => T;
  readonly log: Log;
  readonly clock: Clock;
}

/** A program writes a file in several pieces, and a pair one after the other. */
const SETTLE_MS = 200;
/** What is broken for longer is broken. */
const BROKEN_MS = 1_000;
/** Where the kernel tells of no change (network file systems, links to directories), it is found by looking. */
const LOOK_MS = 60_000;

/**
 * Reads now, and again after each change. What cannot be read then leaves
 * what is in force as it is, and the log says why, once for each change.
 *
 * @throws what `load` throws, now only
 */
export function keepFresh<T>({ what, paths, load, log, clock }: FreshOptions<T>): Fresh<T> {
  const listeners = new Set<() => void>();
  let seen = stampOf(paths);
  let value = load();
  let cancel = (): void => undefined;

  const refresh = (isLast: boolean): void => {
    const stamp = stampOf(paths);
    if (stamp === seen) return;
    try {
      value = load();
    } catch (error) {
      if (isLast) {
        seen = stamp;
        const why = errorMessage(error);
        log.error(`${what} changed and cannot be used: what was read before stays in force`, { why });
      } else plan(BROKEN_MS, true);
      return;
    }
    seen = stamp;
    log.info(`${what} was read again`, { files: paths });
    for (const listener of listeners) listener();
  };
  const plan = (ms: number, isLast: boolean): void => {
    cancel();
    cancel = clock.after(ms, () => {
      refresh(isLast);
    });
  };

  const watchers = [...new Set(paths.map((path) => dirname(path)))].flatMap((directory) => {
    try {
      const watcher = watch(directory, { persistent: false }, () => {
        if (stampOf(paths) !== seen) plan(SETTLE_MS, false);
      });
      watcher.on('error', () => watcher.close());
      return [watcher];
    } catch {
      return []; // no more watches are to be had: the looks below find it
    }
  });
  const looks = new Periodic({
    clock,
    everyMs: LOOK_MS,
    look: () => refresh(false),
    onFailure: (error) => log.error(`${what} could not be looked at`, { error }),
  }).start();

  return {
    current: () => value,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    look: () => refresh(false),
    close() {
      cancel();
      void looks.stop();
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** Changes whenever one of the files does; a file that is not there is one state more. */
function stampOf(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const info = statSync(path, { throwIfNoEntry: false, bigint: true });
      return info ? `${info.dev}:${info.ino}:${info.size}:${info.mtimeNs}:${info.ctimeNs}` : 'none';
    })
    .join(' ');
}
