import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';

/**
 * Waits until a condition holds, looked at again at each change below a directory.
 *
 * @param also - looked at again when this resolves, too
 * @returns false when it does not hold after `ms` milliseconds
 */
export async function waitFor(
  { files, clock }: { files: Files; clock: Clock },
  directory: string,
  holds: () => Promise<boolean>,
  { ms, signal, also }: { ms: number; signal: AbortSignal; also?: Promise<unknown> },
): Promise<boolean> {
  let wake = (): void => undefined;
  let late = false;
  const look = (): void => wake();
  const stopWatch = files.watch(directory, look);
  const stopClock = clock.after(ms, () => {
    late = true;
    look();
  });
  signal.addEventListener('abort', look);
  void also?.then(look, look);
  try {
    for (;;) {
      signal.throwIfAborted();
      // Before the look: a change during it is not missed.
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      if (await holds()) return true;
      if (late) return false;
      await changed;
    }
  } finally {
    stopWatch();
    stopClock();
    signal.removeEventListener('abort', look);
  }
}
