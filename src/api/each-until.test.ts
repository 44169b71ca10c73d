import { expect, test } from 'vitest';
import { eachUntil } from './each-until.ts';

test('passes everything on, then ends', async () => {
  async function* source() {
    yield 1;
    yield 2;
  }
  const seen: number[] = [];
  for await (const item of eachUntil(new AbortController().signal, source())) seen.push(item);
  expect(seen).toEqual([1, 2]);
});

test('a source that nobody asks for more is ended by the signal', async () => {
  const stop = new AbortController();
  const ended = Promise.withResolvers<void>();
  async function* source() {
    try {
      for (;;) yield 1;
    } finally {
      ended.resolve();
    }
  }
  const items = eachUntil(stop.signal, source());
  await items.next();
  const why = new Error('gone');
  stop.abort(why);
  await ended.promise;
  await expect(items.next()).rejects.toBe(why);
});

test('a reader that leaves ends the source', async () => {
  let ended = false;
  async function* source() {
    try {
      for (;;) yield 1;
    } finally {
      ended = true;
    }
  }
  for await (const _ of eachUntil(new AbortController().signal, source())) break;
  expect(ended).toBe(true);
});

test("the source's error and an aborted signal's reason reach the reader", async () => {
  // biome-ignore lint/correctness/useYield: it fails before its first item
  async function* source() {
    throw new Error('no');
  }
  const live = new AbortController().signal;
  await expect(eachUntil(live, source()).next()).rejects.toThrow('no');
  await expect(eachUntil(AbortSignal.abort(new Error('late')), source()).next()).rejects.toThrow('late');
});
