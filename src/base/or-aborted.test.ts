import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { orAborted } from './or-aborted.ts';

const listeners = ({ signal }: AbortController): number => getEventListeners(signal, 'abort').length;

test("the promise's outcome comes through, and no listener is left", async () => {
  const abort = new AbortController();
  expect(await orAborted(Promise.resolve(1), abort.signal)).toBe(1);
  await expect(orAborted(Promise.reject(new Error('no')), abort.signal)).rejects.toThrow('no');
  expect(listeners(abort)).toBe(0);
});

test('an abort comes before a promise that does not end, and how that fails later is no error of the process', async () => {
  const abort = new AbortController();
  const work = Promise.withResolvers<never>();
  const waiting = orAborted(work.promise, abort.signal);
  expect(listeners(abort)).toBe(1);
  abort.abort(new Error('gave up'));
  await expect(waiting).rejects.toThrow('gave up');
  work.reject(new Error('later')); // the runner fails where nobody hears it
  await new Promise((resolve) => setImmediate(resolve));
  expect(listeners(abort)).toBe(0);
});

test('aborted before it is an abort, whatever the promise is', async () => {
  const signal = AbortSignal.abort(new Error('gave up'));
  await expect(orAborted(Promise.resolve(1), signal)).rejects.toThrow('gave up');
  await expect(orAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('gave up');
});
