import { expect, onTestFinished, test, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { endsWithin } from './ends-within.ts';

test('work that ends in time is waited for, and what it throws is thrown; no timer is left', async () => {
  const clock = new FakeClock();
  expect(await endsWithin(10, Promise.resolve('x'), (...timer) => clock.after(...timer))).toBe(true);
  const failed = endsWithin(10, Promise.reject(new Error('no')), (...timer) => clock.after(...timer));
  await expect(failed).rejects.toThrow('no');
  expect(clock.waiting).toBe(0);
});

test('work that does not is left to itself, and its failure is no error of the process', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const work = Promise.withResolvers<never>();
  const waiting = endsWithin(1_000, work.promise);
  vi.advanceTimersByTime(999);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1);
  expect(await waiting).toBe(false);
  expect(vi.getTimerCount()).toBe(0);
  work.reject(new Error('later')); // the runner fails where nobody hears it
  await new Promise((resolve) => setImmediate(resolve));
});
