import { z } from 'zod';
import { type CachedIntent, cachedIntent, expectCached } from './cached.ts';
import { number } from './row.ts';
import type { CacheStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    golden: { intent: CachedIntent; result: { readonly sizeInMb: number } };
  }
}

/** The disk image of an image, by digest and shape. */
export const golden: CacheStepDef<'golden'> = {
  row: { version: 1, intent: cachedIntent, result: z.strictObject({ sizeInMb: number }) },
  expect: expectCached,
};
