import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Run, RunLimits } from '../ports/host.ts';

/** Where it is tried, in order: the second where the first is full or cannot be written to. */
const PLACES = ['/tmp', '/run'] as const;
const PREFIX = 'flintlock-trial-';
const prefixOf = (whose: string): string => `${PREFIX}${whose}-`;

export interface ScratchOptions {
  readonly run: Run;
  readonly files: Pick<Files, 'remove'>;
  /** The daemon's instance, or another word: see {@link removeOldTrials}. */
  readonly whose: string;
}

/**
 * A directory for one trial, gone after it. Its name cannot be foreseen: in `/tmp` somebody could stand in its place.
 * @throws Fault `full` where there is no room for it, `refused` where it cannot be made for another reason; what `work` throws
 */
export async function withScratch<T>(
  { run, files, whose }: ScratchOptions,
  limits: RunLimits,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  let noRoom: unknown;
  for (const place of PLACES) {
    let directory: string;
    try {
      directory = (await run(['mktemp', '-d', `${place}/${prefixOf(whose)}XXXXXXXX`], limits)).trim();
    } catch (error) {
      if (!(error instanceof Fault) || error.kind === 'timeout') throw error;
      noRoom = error;
      continue;
    }
    try {
      return await work(directory);
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== 'full') throw error;
      noRoom = error;
    } finally {
      await files.remove(directory);
    }
  }
  const why = errorMessage(noRoom);
  const isFull =
    noRoom instanceof Fault &&
    (noRoom.kind === 'full' || /Read-only file system|No space left|quota exceeded/i.test(noRoom.message));
  if (!isFull)
    throw new Fault('refused', `no directory can be made below ${PLACES.join(' and ')} to try it: ${why}`, {
      cause: noRoom,
    });
  throw new Fault('full', `there is no room below ${PLACES.join(' and ')} to try it: ${why}`, {
    reason: 'StorageFull',
    cause: noRoom,
  });
}

/** A trial takes minutes at the very most. */
const OLD_MS = 3_600_000;
const ROOT = 0;

/**
 * What daemons left of their trials that were killed: this one, and after an hour whoever, since one that does not come back
 * has nobody else to do it. Called where none of this daemon's can run.
 */
export async function removeOldTrials(
  files: Pick<Files, 'list' | 'remove' | 'stat'>,
  whose: string,
  { now }: Pick<Clock, 'now'>,
): Promise<void> {
  for (const place of PLACES)
    for (const name of await files.list(place)) {
      const path = `${place}/${name}`;
      if (name.startsWith(prefixOf(whose)) || (name.startsWith(PREFIX) && (await isOld(path, files, now()))))
        await files.remove(path);
    }
}

/** Not of another user: in `/tmp` everybody may make one, and have something else in its place while it is removed. */
async function isOld(path: string, files: Pick<Files, 'stat'>, now: number): Promise<boolean> {
  const info = await files.stat(path);
  return info?.kind === 'directory' && info.owner?.user === ROOT && now - (info.modifiedAt ?? now) > OLD_MS;
}
