import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import type { Files, Run, RunLimits } from '../ports/host.ts';

/** Where it is tried, in order: the second where the first is full or cannot be written to. */
const PLACES = ['/tmp', '/run'] as const;
const prefixOf = (whose: string): string => `flintlock-trial-${whose}-`;

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

/** What a daemon that was killed left of its trials. Called where none of that daemon's can run. */
export async function removeOldTrials(files: Pick<Files, 'list' | 'remove'>, whose: string): Promise<void> {
  for (const place of PLACES)
    for (const name of await files.list(place))
      if (name.startsWith(prefixOf(whose))) await files.remove(`${place}/${name}`);
}
