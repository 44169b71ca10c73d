import { z } from 'zod';
import { type CachedIntent, cachedIntent, expectCached } from './cached.ts';
import { number, text } from './row.ts';
import type { CacheStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    'fitted-kernel': { intent: CachedIntent; result: { readonly filename: string; readonly bytes: number } };
  }
}

/** A kernel that was given an entry point, by its image's digest and its place there. */
export const fittedKernel: CacheStepDef<'fitted-kernel'> = {
  row: { version: 1, intent: cachedIntent, result: z.strictObject({ filename: text, bytes: number }) },
  expect: expectCached,
};
