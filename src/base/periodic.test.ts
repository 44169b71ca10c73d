import { expect, onTestFinished, test, vi } from 'vitest';
import { eventually, FakeClock, turn } from '../../test/support/fake-clock.ts';
import { Periodic, type PeriodicOptions } from './periodic.ts';

function setUp(options: Partial<PeriodicOptions> = {}) {
  const clock = new FakeClock();
  const failures: string[] = [];
  let looks = 0;
  const periodic = new Periodic({
    clock,
    everyMs: 1_000,
    onFailure: (error, isNew) => void failures.push(`${isNew ? 'new' : 'again'} ${String(error)}`),
    ...options,
    look: async (signal) => {
      looks++;
      await options.look?.(signal);
    },
  });
  onTestFinished(() => periodic.stop());
  const pass = async (ms: number): Promise<number> => {
    clock.advance(ms);
    await turn();
    return looks;
  };
  return { clock, periodic, failures, pass };
}
/** A look that ends by hand. */
const byHand = () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { look: () => promise, end: resolve };
};

test('looks when each period is over, from the end of the look before', async () => {
  const { look, end } = byHand();
  const { clock, periodic, pass } = setUp({ look });
  periodic.start().start();
  expect(clock.waiting).toBe(1);
  expect(await pass(999)).toBe(0);
  expect(await pass(1)).toBe(1);
  expect(await pass(10_000)).toBe(1); // one at a time
  expect(periodic.isLooking).toBe(true);
  end();
  await eventually('it waits', () => clock.waiting === 1);
  expect(periodic.isLooking).toBe(false);
  expect(await pass(999)).toBe(1);
  expect(await pass(1)).toBe(2);
});

test('begins at once or soon where it is told so', async () => {
  const now = setUp();
  now.periodic.start('now');
  expect(await now.pass(0)).toBe(1);
  const soon = setUp({ soon: { settleMs: 300, gapMs: 1_500 } });
  soon.periodic.start('soon');
  expect(await soon.pass(299)).toBe(0);
  expect(await soon.pass(1)).toBe(1);
});

test('asks for each period anew', async () => {
  let everyMs = 10;
  const { periodic, pass } = setUp({ everyMs: () => everyMs });
  periodic.start();
  everyMs = 5_000;
  expect(await pass(10)).toBe(1);
  expect(await pass(4_999)).toBe(1);
  expect(await pass(1)).toBe(2);
});

test('told of a change it looks once it has settled, not sooner than a while after the look before', async () => {
  const { periodic, pass } = setUp({ everyMs: 5_000, soon: { settleMs: 300, gapMs: 1_500 } });
  periodic.soon(); // before the start it is no news
  periodic.start();
  await pass(100);
  periodic.soon();
  await pass(200);
  periodic.soon(); // of the same change
  expect(await pass(99)).toBe(0);
  expect(await pass(1)).toBe(1);
  periodic.soon();
  expect(await pass(1_499)).toBe(1);
  expect(await pass(1)).toBe(2);
  expect(await pass(4_900)).toBe(2);
  periodic.soon(); // it is due sooner than that
  expect(await pass(100)).toBe(3);
});

test('told of a change while it looks it looks again after that', async () => {
  const { look, end } = byHand();
  const { clock, periodic, pass } = setUp({ look });
  periodic.start('now');
  periodic.soon();
  periodic.soon();
  end();
  await eventually('it waits', () => clock.waiting === 1);
  expect(await pass(0)).toBe(2);
  expect(await pass(999)).toBe(2);
});

test('goes on after a failure, and says whether it is a new one', async () => {
  const outcomes = [new Error('a'), new Error('b'), undefined, new Error('c')];
  const { periodic, failures, pass } = setUp({
    look: () => {
      const error = outcomes.shift();
      if (error) throw error;
    },
  });
  periodic.start();
  for (let i = 0; i < 5; i++) await pass(1_000);
  expect(await pass(0)).toBe(5);
  expect(failures).toEqual(['new Error: a', 'again Error: b', 'new Error: c']);
});

test('a look that takes too long is broken off, and leaves no timer when it does not', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const signals: AbortSignal[] = [];
  const { clock, periodic, failures, pass } = setUp({
    limitMs: 50,
    look: async (signal) => {
      signals.push(signal);
      if (signals.length > 1) return;
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  periodic.start('now');
  vi.advanceTimersByTime(49);
  await pass(0);
  expect(failures).toEqual([]);
  vi.advanceTimersByTime(1);
  await pass(0);
  expect(failures).toEqual(['new TimeoutError: no end in 50 ms']);
  expect(await pass(1_000)).toBe(2);
  expect([clock.waiting, vi.getTimerCount()]).toEqual([1, 0]);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
});

test('stopped it breaks off its look, says nothing of it, and leaves no timer', async () => {
  const { clock, periodic, failures, pass } = setUp({
    limitMs: 60_000,
    look: (signal) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(new Error('broken off', signal.reason))),
      ),
  });
  periodic.start('now');
  periodic.soon();
  await pass(10);
  await periodic.stop(new Error('enough'));
  expect([clock.waiting, failures]).toEqual([0, []]);
  periodic.soon();
  expect(await pass(100_000)).toBe(1);
  expect(clock.waiting).toBe(0);
});

test('its look may stop it', async () => {
  const { clock, periodic, pass } = setUp({ look: () => void periodic.stop() });
  periodic.start('now');
  expect(await pass(10_000)).toBe(1);
  expect(clock.waiting).toBe(0);
});
