import { expect, test } from 'vitest';
import { inOrder } from './in-order.ts';

/** Letters wait for capital ones of the same name. */
const waitsFor = (one: string, other: string): boolean => one !== other && one.toUpperCase() === other;

test('runs side by side what does not wait, and the rest when that is done', async () => {
  const log: string[] = [];
  const open = new Map<string, () => void>();
  const all = inOrder(['A', 'B', 'a', 'b'], waitsFor, async (one) => {
    log.push(`+${one}`);
    await new Promise<void>((resolve) => open.set(one, resolve));
    log.push(`-${one}`);
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  await turn();
  expect(log).toEqual(['+A', '+B']);
  open.get('B')?.();
  await turn();
  expect(log).toEqual(['+A', '+B', '-B', '+b']);
  for (const one of ['A', 'b']) open.get(one)?.();
  await turn();
  open.get('a')?.();
  expect(await all).toEqual([]);
  expect(log.slice(4).toSorted()).toEqual(['+a', '-A', '-a', '-b']);
});

test('leaves out what waits for one that failed, ends the others, and tells all failures in order', async () => {
  const done: string[] = [];
  const failures = await inOrder(['A', 'B', 'a', 'b', 'c'], waitsFor, async (one) => {
    await null;
    if (one === 'A' || one === 'c') throw new Error(one);
    done.push(one);
  });
  expect(failures.map(({ of }) => of)).toEqual(['A', 'c']);
  expect(done).toEqual(['B', 'b']);
});
