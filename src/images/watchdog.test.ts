import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import type { Clock } from '../ports/clock.ts';
import { keepFree, underWatch } from './watchdog.ts';

const never = new AbortController().signal;
/** Each time is one turn of the event loop. */
const clock: Clock = {
  now: () => 0,
  elapsed: () => 0,
  random: () => 0,
  after: (_ms, callback) => {
    const turn = setImmediate(callback);
    return () => clearImmediate(turn);
  },
  sleep: async (_ms, signal) => {
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  },
};
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

test('what a look throws ends the work and is thrown', async () => {
  let looks = 0;
  const look = async (): Promise<void> => {
    if (++looks === 3) throw new Error('full');
  };
  await expect(underWatch(clock, never, 1, look, untilAborted)).rejects.toThrow('full');
  expect(looks).toBe(3);
});

test('the work is looked at first at once, and no more when it is done', async () => {
  let looks = 0;
  const result = await underWatch(
    clock,
    never,
    1,
    async () => void looks++,
    async () => 'done',
  );
  expect([result, looks]).toEqual(['done', 1]);
  await clock.sleep(1, never);
  expect(looks).toBe(1);
});

test("the caller's abort ends it", async () => {
  const stop = new AbortController();
  const work = underWatch(clock, stop.signal, 1, async () => undefined, untilAborted);
  stop.abort(new Error('enough'));
  await expect(work).rejects.toThrow('enough');
});

test('a disk below its reserve is told with figures', async () => {
  const files = { ...fakeFiles({}), freeBytes: async () => 10 << 20 };
  await keepFree(files, '/d', 10 << 20, 'pull');
  await expect(keepFree(files, '/d', 11 << 20, 'pull')).rejects.toMatchObject({
    kind: 'full',
    reason: 'StorageFull',
    message: 'Cannot pull: /d has 10 MB free, and 11 MB must stay free',
  });
});
