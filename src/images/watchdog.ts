import { Periodic } from '../base/periodic.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';

/**
 * Does work while looking after it every so often, first at once; what a look
 * throws ends the work (through the signal that it is given) and is thrown.
 */
export async function underWatch<T>(
  clock: Clock,
  signal: AbortSignal,
  everyMs: number,
  look: (signal: AbortSignal) => Promise<void>,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const alarm = new AbortController();
  const onFailure = (error: unknown): void => {
    alarm.abort(error);
    void looks.stop();
  };
  const looks = new Periodic({ clock, everyMs, look, onFailure });
  looks.start('now');
  try {
    return await work(AbortSignal.any([signal, alarm.signal]));
  } finally {
    await looks.stop();
  }
}

/**
 * A layer of ten gigabytes of zeros is small until it is unpacked: work is
 * ended before it has eaten the disk that the host and its guests live on.
 */
export async function keepFree(files: Files, directory: string, keepFreeBytes: number, what: string): Promise<void> {
  const free = await files.freeBytes(directory);
  if (free >= keepFreeBytes) return;
  const mb = (bytes: number): number => Math.ceil(bytes / 2 ** 20);
  throw new Fault(
    'full',
    `Cannot ${what}: ${directory} has ${mb(free)} MB free, and ${mb(keepFreeBytes)} MB must stay free`,
    { reason: 'StorageFull' },
  );
}
