import { expect, test } from 'vitest';
import { eventually, FakeClock } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { purgePeriodically } from './purge.ts';

test('what is old is forgotten at the start and from time to time, and a failure is told', async () => {
  const [clock, log] = [new FakeClock(1_000_000_000), memoryLog()];
  const purged: (readonly number[])[] = [];
  let isFull = false;
  const store = {
    purge(...before: readonly number[]) {
      if (isFull) throw new Error('disk full');
      purged.push(before.map((time) => clock.now() - time));
    },
  };
  const purge = purgePeriodically({ store, clock, log, retainMs: 3_600_000 });
  purge.start('now');
  expect(purged).toEqual([[3_600_000, 86_400_000]]);
  const again = async (): Promise<void> => {
    await eventually('it waits', () => clock.waiting === 1);
    clock.advance(600_000);
  };
  await again();
  expect(purged).toHaveLength(2);
  isFull = true;
  await again();
  await eventually('it is told', () => log.lines.length === 1);
  isFull = false;
  await again();
  expect(purged).toHaveLength(3);
  await purge.stop();
  expect(clock.waiting).toBe(0);
});
