import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { Tried } from './tried.ts';

function makeTried() {
  const clock = new FakeClock();
  const state = { stamp: 'first', verdict: 'works', attempts: 0 };
  const tried = new Tried<string>({
    attempt: async () => {
      state.attempts++;
      return state.verdict;
    },
    stamp: async () => state.stamp,
    isGood: (verdict) => verdict === 'works',
    doubtMs: 1_000,
    clock,
  });
  return { clock, state, tried };
}

test('what works is tried once, and again when it is another file', async () => {
  const { clock, state, tried } = makeTried();
  expect(tried.last).toBeUndefined();
  expect([await tried.verdict(), await tried.verdict()]).toEqual(['works', 'works']);
  clock.advance(1_000_000);
  await tried.verdict();
  expect(state.attempts).toBe(1);
  Object.assign(state, { stamp: 'second', verdict: 'fails' });
  clock.advance(999);
  expect(await tried.verdict()).toBe('works'); // it was the same a moment ago
  clock.advance(1);
  expect(await tried.verdict()).toBe('fails');
  expect(state.attempts).toBe(2);
});

test('what does not work is doubted after a while, though the file is the same', async () => {
  const { clock, state, tried } = makeTried();
  state.verdict = 'fails';
  await tried.verdict();
  clock.advance(999);
  expect(await tried.verdict()).toBe('fails');
  expect(state.attempts).toBe(1);
  state.verdict = 'works';
  clock.advance(1);
  expect(await tried.verdict()).toBe('works');
  expect(tried.last).toBe('works');
});

test('who asks meanwhile waits for the same trial; who doubts has it tried anew', async () => {
  const { state, tried } = makeTried();
  await Promise.all([tried.verdict(), tried.verdict(), tried.again()]);
  expect(state.attempts).toBe(1);
  await tried.again();
  expect(state.attempts).toBe(2);
});

test('who only asks waits five seconds for the first trial, and has the last verdict while a later one hangs', async () => {
  const clock = new FakeClock();
  const attempts: PromiseWithResolvers<string>[] = [];
  const tried = new Tried<string>({
    attempt: () => {
      const one = Promise.withResolvers<string>();
      attempts.push(one);
      return one.promise;
    },
    stamp: async () => '',
    ...{ isGood: () => false, doubtMs: 0, clock },
  });
  const early = tried.soon();
  await expect.poll(() => attempts.length).toBe(1);
  clock.advance(5_000);
  expect(await early).toBeUndefined();
  const waits = tried.soon();
  attempts[0]?.resolve('first');
  expect(await waits).toBe('first');
  const again = tried.soon();
  await expect.poll(() => attempts.length).toBe(2);
  clock.advance(5_000);
  expect(await again).toBe('first');
  attempts[1]?.resolve('second');
});

test('he waits longer on a slow host', async () => {
  const clock = new FakeClock();
  const tried = new Tried<string>({
    attempt: () => new Promise(() => undefined),
    stamp: async () => '',
    ...{ isGood: () => true, doubtMs: 0, clock, patience: 4 },
  });
  let isOver = false;
  const asked = tried.soon().finally(() => {
    isOver = true;
  });
  clock.advance(19_999);
  await Promise.resolve();
  expect(isOver).toBe(false);
  clock.advance(1);
  expect(await asked).toBeUndefined();
});
