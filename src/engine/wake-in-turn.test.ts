import { expect, test } from 'vitest';
import { FakeClock, turn } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { Uid } from '../domain/microvm.ts';
import { Scheduler } from './scheduler.ts';
import { wakeInTurn } from './wake-in-turn.ts';

const uidsOf = (count: number): readonly Uid[] => Array.from({ length: count }, (_, n) => `vm${n}` as Uid);

/** Looks that a test ends by hand. */
function setUp(count: number) {
  const clock = new FakeClock();
  const begun: Uid[] = [];
  const ends = new Map<Uid, () => void>();
  const scheduler = new Scheduler(
    (uid) => {
      begun.push(uid);
      return new Promise((resolve) => ends.set(uid, () => resolve(undefined)));
    },
    { clock, log: memoryLog() },
  );
  const stop = new AbortController();
  let isDone = false;
  const done = wakeInTurn(uidsOf(count), { scheduler, clock }, stop.signal).then(() => {
    isDone = true;
  });
  const endAll = async (): Promise<void> => {
    for (const end of ends.values()) end();
    await settle();
  };
  return { clock, begun, ends, scheduler, stop, done, endAll, isDone: () => isDone };
}
const settle = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await turn();
};

test('a few are looked at, and the next when one has ended, each once and in order', async () => {
  const { begun, ends, endAll, done, isDone } = setUp(100);
  const few = begun.length;
  expect(few).toBeLessThan(50);
  ends.get(begun[0] ?? ('' as Uid))?.();
  await settle();
  expect(begun).toHaveLength(few + 1);
  expect(isDone()).toBe(false);
  while (begun.length < 100) await endAll();
  await endAll();
  await done;
  expect(begun).toEqual(uidsOf(100));
});

test('those that do not end hold up the others for a moment only, and nobody waits for them', async () => {
  const { clock, begun, done } = setUp(100);
  while (begun.length < 100) {
    const before = begun.length;
    clock.advance(100);
    await settle();
    expect(begun.length).toBeGreaterThan(before);
  }
  clock.advance(100);
  await done;
  expect(clock.waiting).toBe(0);
});

test('what is woken by others meanwhile is looked at at once, and once', async () => {
  const { begun, scheduler, endAll, done } = setUp(100);
  const last = uidsOf(100).at(-1) ?? ('' as Uid);
  scheduler.wake(last);
  expect(begun.at(-1)).toBe(last);
  while (begun.length < 101) await endAll();
  await endAll();
  await done;
  expect(begun.filter((uid) => uid === last)).toHaveLength(2);
});

test('no look begins when the daemon ends, and no timer stays', async () => {
  const { clock, begun, stop, endAll, done } = setUp(100);
  const few = begun.length;
  stop.abort();
  await endAll();
  await done;
  expect(begun).toHaveLength(few);
  expect(clock.waiting).toBe(0);
});
