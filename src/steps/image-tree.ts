import { z } from 'zod';
import { type CachedIntent, cachedIntent, expectCached } from './cached.ts';
import { maybe, number, text } from './row.ts';
import type { CacheStepDef } from './step.ts';

/** What is known of a pulled image. */
export interface ImageTreeResult {
  /** On the disk, as du(1) counts it. */
  readonly bytes: number;
  readonly inodes: number;
  readonly os: string;
  readonly architecture: string;
  /** What it is, where it is an OCI artifact: some files, and no file system. */
  readonly artifact?: string;
  /** Milliseconds since 1970. */
  readonly pulledAt: number;
}

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    'image-tree': { intent: CachedIntent; result: ImageTreeResult };
  }
}

/** An image, pulled and unpacked; by its digest. */
export const imageTree: CacheStepDef<'image-tree'> = {
  row: {
    version: 1,
    intent: cachedIntent,
    result: z.strictObject({
      bytes: number,
      inodes: number,
      os: text,
      architecture: text,
      artifact: maybe(text),
      pulledAt: number,
    }),
  },
  expect: expectCached,
};
