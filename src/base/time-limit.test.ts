import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { TimeLimit } from './time-limit.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('aborts after its time, and says that it was late', () => {
  using limit = new TimeLimit(new AbortController().signal, 1_000);
  vi.advanceTimersByTime(999);
  expect(limit.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1);
  expect(limit.signal.reason).toMatchObject({ name: 'TimeoutError' });
  expect(limit.isLate).toBe(true);
});

test('aborts with the other signal, for its reason, and was not late', () => {
  const outer = new AbortController();
  using limit = new TimeLimit(outer.signal, 1_000);
  const why = new Error('gone');
  outer.abort(why);
  vi.advanceTimersByTime(2_000);
  expect(limit.signal.reason).toBe(why);
  expect(limit.isLate).toBe(false);
  using already = new TimeLimit(outer.signal, 1_000);
  expect(already.signal.reason).toBe(why);
});

test('put away it leaves neither a timer nor a listener', () => {
  const outer = new AbortController();
  {
    using limit = new TimeLimit(outer.signal, 600_000);
    expect(limit.signal.aborted).toBe(false);
    expect(getEventListeners(outer.signal, 'abort')).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(1);
  }
  expect(getEventListeners(outer.signal, 'abort')).toHaveLength(0);
  expect(vi.getTimerCount()).toBe(0);
});
