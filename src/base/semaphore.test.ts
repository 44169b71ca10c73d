import { expect, test } from 'vitest';
import { Semaphore } from './semaphore.ts';

const { signal } = new AbortController();
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

/** Work that ends when it is told to; what has begun is in `begun`. */
function works(semaphore: Semaphore) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const add = (name: string, whose: string, by = signal): Promise<void> =>
    semaphore.run(
      by,
      () => {
        begun.push(name);
        return new Promise<void>((resolve) => ends.set(name, resolve));
      },
      whose,
    );
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    await turns();
  };
  return { begun, add, end };
}

test('one that asks for much leaves a place to the others, and has its turn after theirs', async () => {
  const semaphore = new Semaphore(4, 3);
  const { begun, add, end } = works(semaphore);
  for (let i = 1; i <= 5; i++) void add(`a${i}`, 'a');
  await turns();
  expect([begun, semaphore.waiting]).toEqual([['a1', 'a2', 'a3'], 2]);
  void add('b1', 'b');
  void add('b2', 'b');
  await turns();
  expect(begun.at(-1)).toBe('b1');
  await end('a1');
  expect(begun.at(-1)).toBe('b2'); // it has one, the other two
  await end('b1');
  await end('b2');
  expect(begun.slice(5)).toEqual(['a4']);
  await end('a2');
  expect(begun.slice(5)).toEqual(['a4', 'a5']);
});

test('without a name it is in the order in which they came; who gives up waits no more', async () => {
  const semaphore = new Semaphore(1);
  const { begun, add, end } = works(semaphore);
  const stop = new AbortController();
  void add('1', '');
  const given = add('2', '', stop.signal).catch((error: unknown) => error);
  void add('3', '');
  stop.abort(new Error('gone'));
  expect(await given).toMatchObject({ message: 'gone' });
  await end('1');
  expect([begun, semaphore.waiting]).toEqual([['1', '3'], 0]);
  await expect(semaphore.run(AbortSignal.abort(new Error('before')), async () => 1)).rejects.toThrow('before');
});
