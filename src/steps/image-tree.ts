import { z } from 'zod';
import type { ImageSays } from '../domain/process.ts';
import { type CachedIntent, cachedIntent, expectCached } from './cached.ts';
import { maybe, number, text, texts } from './row.ts';
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
  /** What its configuration says of the program in it; null: nothing. Absent of an artifact, and where an older daemon pulled it. */
  readonly process?: ImageSays | null;
  /** Milliseconds since 1970. */
  readonly pulledAt: number;
}

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    'image-tree': { intent: CachedIntent; result: ImageTreeResult };
  }
}

const process: z.ZodType<ImageSays> = z.union([
  z.strictObject({
    ...{ entrypoint: texts, args: texts, environment: texts, user: text, directory: text },
    stopSignal: maybe(number),
  }),
  z.strictObject({ wrong: text }),
]);

/** An image, pulled and unpacked; by its digest. */
export const imageTree: CacheStepDef<'image-tree'> = {
  row: {
    version: 2,
    intent: cachedIntent,
    result: z.strictObject({
      bytes: number,
      inodes: number,
      os: text,
      architecture: text,
      artifact: maybe(text),
      process: maybe(process.nullable()),
      pulledAt: number,
    }),
  },
  expect: expectCached,
};
