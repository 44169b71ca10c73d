import { afterEach, expect, test, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import type { Files, Follow } from '../ports/host.ts';
import { inScratch } from './scratch.ts';

afterEach(() => void vi.useRealTimers());

test.each([1, 10])('work in a namespace has its time, on a host %i times as slow too', async (patience) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let started: readonly string[] = [];
  const follow: Follow = (argv, { signal }) => {
    started = argv;
    const { promise: ended, resolve } = Promise.withResolvers<string>();
    signal.addEventListener('abort', () => resolve('ended'), { once: true });
    return { pid: 1, ended };
  };
  const files: Partial<Files> = { read: async () => Buffer.from('unshare\0') }; // it never gets there
  const hands = { run: async () => '', follow, files: files as Files, clock: new FakeClock(), patience };
  const done = inScratch(hands, new AbortController().signal, async () => undefined).catch((error: unknown) => error);
  await new Promise(setImmediate);
  let isOver = false;
  void done.then(() => {
    isOver = true;
  });
  vi.advanceTimersByTime(30_000 * patience - 1);
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  vi.advanceTimersByTime(1);
  expect(await done).toMatchObject({ name: 'TimeoutError' });
  // It outlives the work, whose end takes it along.
  expect(started.at(-1)).toBe(String(60 * patience));
});
