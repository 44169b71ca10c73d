import { expect, test, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { INTENTS, ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { InUse } from '../ports/images.ts';
import { limitImages } from './image-limit.ts';

function setUp(maxBytes: number) {
  const clock = new FakeClock();
  const ledger = memoryLedger();
  let pulled = (): void => undefined;
  const seen: { digests: string[]; references: string[]; maxBytes: number }[] = [];
  const images = {
    async prune(inUse: () => InUse, max: number) {
      seen.push({ digests: [...inUse().digests], references: [...inUse().references], maxBytes: max });
      return [];
    },
    onGrowth(listener: () => void) {
      pulled = listener;
      return () => undefined;
    },
  };
  const stop = limitImages({ images, ledger, clock, log: memoryLog(), maxBytes });
  return { clock, ledger, seen, stop, pull: () => pulled() };
}

test('after a pull and from time to time, what nothing holds is offered for removal', async () => {
  const { clock, ledger, seen, stop, pull } = setUp(1_000);
  ledger.made(ledger.intend(ownedBy('A'), 'image', 'x:1', INTENTS.image), RESULTS.image);
  ledger.intend(ownedBy('B'), 'image', 'y:1', INTENTS.image);
  pull();
  clock.advance(1);
  await vi.waitFor(() => expect(seen).toHaveLength(1));
  expect(seen[0]).toEqual({ digests: ['sha256:aa'], references: ['y:1'], maxBytes: 1_000 });
  await vi.waitFor(() => expect(clock.waiting).toBe(1)); // it has ended, and sleeps
  clock.advance(300_000);
  await vi.waitFor(() => expect(seen).toHaveLength(2));
  await stop();
  expect(clock.waiting).toBe(0);
  clock.advance(1_000_000);
  expect(seen).toHaveLength(2);
});

test('without a limit nothing is looked at', async () => {
  const { clock, seen, stop } = setUp(0);
  clock.advance(1_000_000);
  await stop();
  expect(seen).toEqual([]);
});
