import { z } from 'zod';
import type { LedgerEntry } from '../domain/ledger.ts';
import type { Files } from '../ports/host.ts';
import type { Expecting } from './expecting.ts';
import { text } from './row.ts';

/** What every kind of the image cache names: all paths that may come to be, the finished one first. */
export interface CachedIntent {
  readonly paths: readonly [finished: string, ...others: string[]];
}

export const cachedIntent = z.strictObject({ paths: z.tuple([text], text) });

/**
 * Removes what an entry of the cache names; nothing there is success.
 * @param directory - nothing outside it is ever removed, whatever an intent says
 */
export async function removeCached({ paths }: CachedIntent, directory: string, files: Files): Promise<void> {
  const [finished, ...others] = paths.filter(
    (path) => path.startsWith(`${directory}/`) && !path.split('/').includes('..'),
  );
  if (finished !== undefined && others[0] !== undefined && (await files.stat(finished))) {
    // At one blow, so that a half removed thing is never taken for a whole one.
    await files.remove(others[0]);
    await files.rename(finished, others[0]);
  }
  for (const path of others) await files.remove(path);
}

export function expectCached(
  { intent: { paths }, made }: Pick<LedgerEntry<'image-tree'>, 'intent' | 'made'>,
  to: Expecting,
): void {
  paths.forEach((path, i) => {
    to.thing('file', path, made && i === 0);
    to.within(`${path}/`);
  });
}
