import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Fault } from '../../domain/fault.ts';
import { type Act, DIRECT } from '../../ports/acts.ts';
import { limited } from './limits.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const acts = limited(DIRECT);
const tap = (signal?: AbortSignal): Act => ({
  ...{ kind: 'tap', way: 'make' },
  ...(signal && { signal }),
  limit: { ms: 1_000, late: (ms, cause) => new Fault('timeout', `no tap in ${ms} ms`, { cause }) },
});
/** Work that goes on until it is told to end, and says with what. */
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('broken off'))));

test('work that ends in time gives what it gives, and leaves neither timer nor listener', async () => {
  const outer = new AbortController();
  expect(await acts.run(tap(outer.signal), async () => 7)).toBe(7);
  await expect(acts.run(tap(outer.signal), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect([vi.getTimerCount(), getEventListeners(outer.signal, 'abort').length]).toEqual([0, 0]);
});

test('work whose time is over ends, in the words of the act', async () => {
  const work = acts.run(tap(), untilAborted);
  vi.advanceTimersByTime(1_000);
  await expect(work).rejects.toMatchObject({
    kind: 'timeout',
    message: 'no tap in 1000 ms',
    cause: expect.objectContaining({ message: 'broken off' }),
  });
});

test('a change that came first is that, whatever the work makes of it, before the limit and after it', async () => {
  const outer = new AbortController();
  const work = acts.run(tap(outer.signal), untilAborted);
  outer.abort(new Error('another change'));
  await expect(work).rejects.toThrow('another change');
});

test('without a limit it is the work alone', async () => {
  const { limit: _, ...act } = tap();
  const work = acts.run(act, async (signal) => signal.aborted);
  expect(vi.getTimerCount()).toBe(0);
  expect(await work).toBe(false);
});

test('marks are passed on', () => {
  const marked = vi.fn();
  limited({ ...DIRECT, marked }).marked(tap());
  expect(marked).toHaveBeenCalledOnce();
});
