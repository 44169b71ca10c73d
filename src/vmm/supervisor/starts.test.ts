import { expect, test } from 'vitest';
import { FakeClock, turn } from '../../../test/support/fake-clock.ts';
import { Starts } from './starts.ts';

const never = new AbortController().signal;

/** One that is under way until it is ended. */
function start(starts: Starts) {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const done = starts.getReady(never, () => promise);
  return { done, ready: resolve, fail: reject };
}

/** Whether it has resolved by now. */
async function isDone(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => {
    done = true;
  });
  for (let i = 0; i < 5; i++) await turn();
  return done;
}

test('a guest is held while a VMM starts, also while one waits for its turn, and let go when none does', async () => {
  const clock = new FakeClock();
  const starts = new Starts(clock);
  expect(await isDone(starts.none(never))).toBe(true);
  const all = Array.from({ length: 20 }, () => start(starts));
  const none = starts.none(never);
  for (const one of all.slice(1)) one.ready();
  expect(await isDone(none)).toBe(false);
  all[0]?.ready();
  expect(await isDone(none)).toBe(true);
  expect(clock.waiting).toBe(0);
});

test('a start that fails holds nobody', async () => {
  const starts = new Starts(new FakeClock());
  const one = start(starts);
  const none = starts.none(never);
  one.fail(new Error('no'));
  await expect(one.done).rejects.toThrow('no');
  expect(await isDone(none)).toBe(true);
});

test('a VMM that takes long to start holds the guests of others for a second', async () => {
  const clock = new FakeClock();
  const starts = new Starts(clock);
  const slow = start(starts);
  const none = starts.none(never);
  clock.advance(999);
  expect(await isDone(none)).toBe(false);
  clock.advance(1);
  expect(await isDone(none)).toBe(true);
  slow.ready();
});

test('one who waits obeys his signal, and leaves no timer', async () => {
  const clock = new FakeClock();
  const starts = new Starts(clock);
  const slow = start(starts);
  const abort = new AbortController();
  const none = starts.none(abort.signal);
  abort.abort(new Error('a delete came'));
  await expect(none).rejects.toThrow('a delete came');
  expect(clock.waiting).toBe(0);
  slow.ready();
});

test('only so many start at once', async () => {
  const starts = new Starts(new FakeClock());
  let running = 0;
  let most = 0;
  const one = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await turn();
    running--;
  };
  await Promise.all(Array.from({ length: 40 }, () => starts.getReady(never, one)));
  expect(most).toBe(8);
});
