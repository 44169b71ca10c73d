import { expect, test } from 'vitest';
import { allDone } from './all-done.ts';

test('what fails is told when the others have ended, of several the first in their order', async () => {
  const slow = Promise.withResolvers<number>();
  let told: unknown;
  const done = allDone([slow.promise, Promise.reject(new Error('second')), Promise.reject(new Error('third'))]).catch(
    (error: unknown) => {
      told = error;
    },
  );
  await new Promise(setImmediate);
  expect(told).toBeUndefined();
  slow.resolve(1);
  await done;
  expect(told).toEqual(new Error('second'));
});

test('what comes of each is in its place', async () => {
  expect(await allDone([Promise.resolve(1), 'two', Promise.resolve(undefined)])).toEqual([1, 'two', undefined]);
});
