import { expect, test } from 'vitest';
import { INTENTS, ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { imagesInUse, imageUses } from './image-uses.ts';

test('a made hold is known by its digest, one under way by its reference', () => {
  const ledger = memoryLedger();
  ledger.made(ledger.intend(ownedBy('A'), 'image', 'x:1', INTENTS.image), RESULTS.image);
  ledger.intend(ownedBy('B'), 'image', 'y:1', INTENTS.image);
  ledger.intend(ownedBy('C'), 'volume', 'root', INTENTS.volume);
  expect(imageUses(ledger)).toEqual([
    { owner: 'A', reference: 'x:1', digest: RESULTS.image.digest },
    { owner: 'B', reference: 'y:1' },
  ]);
  expect(imagesInUse(ledger)).toEqual({
    digests: new Set([RESULTS.image.digest]),
    references: new Set(['y:1']),
    isWhole: true,
  });
});

test('who holds what is not known while a row cannot be read', () => {
  const row = { entry: 1, owner: 'A', kind: 'image', key: 'x:1', why: 'its result: it is no JSON' };
  expect(imagesInUse({ ofKind: () => [], unreadable: () => [row] }).isWhole).toBe(false);
});
