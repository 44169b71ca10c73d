import { expect, test } from 'vitest';
import { imagesInUse, imageUses } from './image-uses.ts';
import type { LedgerEntry } from './ledger.ts';

const entry = (changes: Partial<LedgerEntry>): LedgerEntry => ({
  ...{ entry: 1, owner: 'A', kind: 'image', key: 'x:1', intent: null, made: true, result: { digest: 'sha256:aa' } },
  ...changes,
});

test('a made hold is known by its digest, one under way by its reference', () => {
  const uses = imageUses([
    entry({}),
    entry({ owner: 'B', key: 'y:1', made: false, result: null }),
    entry({ owner: 'C', kind: 'volume', key: 'root' }),
    entry({ owner: 'D', result: 'nonsense' }),
  ]);
  expect(uses).toEqual([
    { owner: 'A', reference: 'x:1', digest: 'sha256:aa' },
    { owner: 'B', reference: 'y:1' },
    { owner: 'D', reference: 'x:1' },
  ]);
  expect(imagesInUse(uses)).toEqual({ digests: new Set(['sha256:aa']), references: new Set(['y:1', 'x:1']) });
});
