import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs } from './backoff.ts';
import { Semaphore } from './semaphore.ts';
import { createUlids } from './ulid.ts';

const never = new AbortController().signal;
const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve();
};

describe('back-off', () => {
  const options = { firstMs: 1_000, maxMs: 60_000 };

  test('doubles up to its bound, of which the upper half is chance', () => {
    expect([1, 2, 3, 6, 7, 40, 5_000].map((n) => backoffMs(n, 0, options))).toEqual([
      500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000,
    ]);
    expect(backoffMs(3, 0.5, options)).toBe(3_000);
  });

  test('is never less than half of its first nor more than its most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (n, chance) => {
        const ms = backoffMs(n, chance, options);
        return ms >= 500 && ms <= 60_000;
      }),
    );
  });
});

describe('a semaphore', () => {
  /** Work that a test ends by hand. */
  function workers(semaphore: Semaphore) {
    const running: { name: string; end(): void; fail(): void }[] = [];
    const begin = (name: string, signal = never): Promise<void> =>
      semaphore.run(
        signal,
        () =>
          new Promise<void>((resolve, reject) => {
            running.push({ name, end: resolve, fail: () => reject(new Error(name)) });
          }),
      );
    return { running, begin, names: () => running.map(({ name }) => name) };
  }

  test('lets so many in, the others in their order', async () => {
    const { running, begin, names } = workers(new Semaphore(2));
    const all = ['a', 'b', 'c', 'd'].map((name) => begin(name));
    await turns();
    expect(names()).toEqual(['a', 'b']);
    running[1]?.end();
    await turns();
    expect(names()).toEqual(['a', 'b', 'c']);
    running[0]?.fail();
    await expect(all[0]).rejects.toThrow('a');
    expect(names()).toEqual(['a', 'b', 'c', 'd']);
    for (const { end } of running) end();
    await Promise.all(all.slice(1));
  });

  test('whose waiter gives up keeps its place for the others', async () => {
    const { running, begin, names } = workers(new Semaphore(1));
    const abort = new AbortController();
    const [first, second, third] = [begin('a'), begin('b', abort.signal), begin('c')];
    abort.abort(new Error('gave up'));
    await expect(second).rejects.toThrow('gave up');
    running[0]?.end();
    await first;
    await turns();
    expect(names()).toEqual(['a', 'c']);
    running[1]?.end();
    await third;
  });

  test('does not begin what is aborted already, and is not used up by it', async () => {
    const { begin, running } = workers(new Semaphore(1));
    await expect(begin('a', AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
    const second = begin('b');
    await turns();
    running[0]?.end();
    await second;
  });

  test('whose waiter gives up after it was let in lets it run', async () => {
    const { begin, running, names } = workers(new Semaphore(1));
    const abort = new AbortController();
    const [first, second] = [begin('a'), begin('b', abort.signal)];
    await turns();
    running[0]?.end();
    await first;
    await turns();
    abort.abort();
    expect(names()).toEqual(['a', 'b']);
    running[1]?.end();
    await second;
    const third = begin('c');
    await turns();
    running[2]?.end();
    await third;
  });
});

describe('ULIDs', () => {
  test('sort in the order in which they were made, within a millisecond and when the clock goes back', () => {
    const times = [5, 5, 5, 7, 3, 3, 8];
    let i = 0;
    let seed = 0.1;
    const next = createUlids(
      () => times[i++ % times.length] ?? 0,
      () => {
        seed = (seed * 9301 + 0.4927) % 1;
        return seed;
      },
    );
    const made = Array.from({ length: times.length }, next);
    expect(made.toSorted()).toEqual(made);
    expect(new Set(made).size).toBe(made.length);
    for (const ulid of made) expect(ulid).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
  });

  test('hold their time', () => {
    // The example of the specification: 1469918176385 is 01ARYZ6S41.
    expect(
      createUlids(
        () => 1_469_918_176_385,
        () => 0,
      )(),
    ).toBe(`01ARYZ6S41${'0'.repeat(16)}`);
  });

  test('carry over', () => {
    const next = createUlids(
      () => 1,
      () => 0.999_999,
    );
    next();
    expect(next()).toBe(`0000000001${'0'.repeat(16)}`);
  });
});
