import type { Files, Run, RunLimits } from '../ports/host.ts';

const DIRECTORY = '/tmp';
const prefixOf = (whose: string): string => `flintlock-trial-${whose}-`;

/**
 * A directory for one trial, gone after it. Its name cannot be foreseen: in `/tmp` somebody could stand in its place.
 * @param whose - the daemon's instance, or another word: see {@link removeOldTrials}
 */
export async function withScratch<T>(
  { run, files, whose }: { readonly run: Run; readonly files: Pick<Files, 'remove'>; readonly whose: string },
  limits: RunLimits,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = (await run(['mktemp', '-d', `${DIRECTORY}/${prefixOf(whose)}XXXXXXXX`], limits)).trim();
  try {
    return await work(directory);
  } finally {
    await files.remove(directory);
  }
}

/** What a daemon that was killed left of its trials. Called where none of that daemon's can run. */
export async function removeOldTrials(files: Pick<Files, 'list' | 'remove'>, whose: string): Promise<void> {
  const prefix = prefixOf(whose);
  for (const name of await files.list(DIRECTORY))
    if (name.startsWith(prefix)) await files.remove(`${DIRECTORY}/${name}`);
}
