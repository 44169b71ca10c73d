import { expect, test, vi } from 'vitest';
import { Fault } from '../../domain/fault.ts';
import { type Asker, Budget, type BudgetOptions, type Lease } from './budget.ts';

const LEVELS = { connection: 400, caller: 800, all: 1_000 };
const budget = (options: Partial<BudgetOptions> = {}): Budget =>
  new Budget({
    levels: LEVELS,
    what: 'answers',
    remedy: 'read them',
    pressedMs: 60_000,
    patienceMs: 60_000,
    ...options,
  });
const asker = (
  connection: object,
  {
    caller = 'a',
    signal = new AbortController().signal,
    cut = () => undefined,
  }: Partial<Asker> & { caller?: string } = {},
): Asker => ({ party: { connection, caller }, signal, cut });
const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};
/** Whether it is there after some turns of the loop. */
const settled = async (wait: Promise<Lease>): Promise<boolean> => {
  let isThere = false;
  wait.then(
    () => (isThere = true),
    () => undefined,
  );
  await turns();
  return isThere;
};

test('what is large waits for room at each level, and gets it in turn', async () => {
  const some = budget();
  const [one, two, three] = [{}, {}, {}];
  const first = await some.take(asker(one), 200);
  // A connection gives 300 of its 400 to what is large.
  const second = some.take(asker(one), 200);
  expect(await settled(second)).toBe(false);
  const other = await some.take(asker(two), 300);
  // The caller has 600 of 800 for it.
  const third = some.take(asker(three), 300);
  expect(await settled(third)).toBe(false);
  expect([some.held, some.waiting]).toEqual([500, 2]);
  first.free();
  expect([await settled(second), await settled(third)]).toEqual([true, false]);
  other.free();
  (await third).free();
  (await second).free();
  expect([some.held, some.waiting]).toEqual([0, 0]);
});

test('one alone has room, however large it is', async () => {
  const some = budget();
  const lease = await some.take(asker({}), 5_000);
  expect(some.held).toBe(5_000);
  lease.free();
  lease.free();
  expect(some.held).toBe(0);
});

test('what is small is let in while what is large waits, until its level is full', async () => {
  const some = budget();
  const connection = {};
  const large = await some.take(asker(connection), 300);
  const waits = some.take(asker(connection), 300);
  const small = await some.take(asker(connection), 0);
  small.resize(100); // it was not so small
  const next = some.take(asker(connection), 0);
  expect([await settled(waits), await settled(next)]).toEqual([false, false]);
  small.free();
  expect([await settled(waits), await settled(next)]).toEqual([false, true]);
  large.free();
  (await next).free();
  (await waits).free();
});

test('each connection has its turn', async () => {
  const some = budget({ levels: { connection: 400, caller: 400, all: 400 } });
  const [greedy, modest] = [{}, {}];
  const first = await some.take(asker(greedy), 300);
  const order: string[] = [];
  const served = [greedy, greedy, greedy, modest].map(async (connection) => {
    const lease = await some.take(asker(connection), 300);
    order.push(connection === modest ? 'modest' : 'greedy');
    await turns();
    lease.free();
  });
  first.free();
  await Promise.all(served);
  expect(order).toEqual(['greedy', 'modest', 'greedy', 'greedy']);
});

test('who finds no room for too long is told how much there is, and of whom', async () => {
  const some = budget({ patienceMs: 20, levels: { connection: 1 << 20, caller: 2 << 20, all: 4 << 20 } });
  const connection = {};
  const lease = await some.take(asker(connection), 1 << 20);
  const refused = await some.take(asker(connection, { caller: 'token ci' }), 1 << 19).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Fault);
  expect(refused).toMatchObject({
    kind: 'full',
    message: 'There was no room for 0.02 s: too many answers on one connection (at most 1 MiB); read them',
  });
  lease.free();
  expect([some.held, some.waiting]).toEqual([0, 0]);
});

test('who is behind others that are served waits for its turn, however slow they are read', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
  try {
    const some = budget({ patienceMs: 30_000 });
    const [connection, other] = [{}, {}];
    let lease = await some.take(asker(connection), 300);
    const waits = Array.from({ length: 5 }, () => some.take(asker(connection), 300));
    const theirs = await some.take(asker(other), 300);
    const stuck = some.take(asker(other), 300).catch((error: unknown) => error);
    for (const next of waits) {
      vi.advanceTimersByTime(20_000);
      lease.free();
      lease = await next;
    }
    // One of which nobody is served is told.
    expect(await stuck).toMatchObject({ kind: 'full' });
    theirs.free();
    lease.free();
    expect([some.held, some.waiting]).toEqual([0, 0]);
  } finally {
    vi.useRealTimers();
  }
});

test('who goes away while it waits holds nothing', async () => {
  const some = budget();
  const connection = {};
  const lease = await some.take(asker(connection), 300);
  const left = new AbortController();
  const waits = some.take(asker(connection, { signal: left.signal }), 300);
  left.abort(new Error('gone'));
  lease.free(); // in the same turn
  await expect(waits).rejects.toThrow('gone');
  await turns();
  expect([some.held, some.waiting]).toEqual([0, 0]);
  const gone = AbortSignal.abort(new Error('gone before'));
  await expect(some.take(asker(connection, { signal: gone }), 1)).rejects.toThrow('gone before');
});

test('who stands still in the way of another is ended, who moves or is in nobody’s way is not', async () => {
  const some = budget({ pressedMs: 100 });
  const [one, two] = [{}, {}];
  const end = ({ message }: Fault): void => {
    told.push(message);
    still.free();
  };
  const still = await some.take(asker(one, { cut: (why) => end(why) }), 200);
  const moving = await some.take(asker(one, { cut: () => told.push('moving') }), 50);
  const away = await some.take(asker(two, { cut: () => told.push('away') }), 10);
  const told: string[] = [];
  const moves = setInterval(() => moving.moved(), 20);
  const lease = await some.take(asker(one), 250);
  clearInterval(moves);
  expect(told).toEqual(['Nothing moved for 0.1 s, and others wait for the room of answers: read them']);
  for (const each of [lease, moving, away]) each.free();
  expect(some.held).toBe(0);
});

test('much that comes at once is let in a part each turn, by what it turned out to be', async () => {
  const MIB = 1 << 20;
  const some = budget({ levels: { connection: 16 * MIB, caller: 16 * MIB, all: 16 * MIB } });
  const connection = {};
  let begun = 0;
  const all = Array.from({ length: 100 }, async () => {
    const lease = await some.take(asker(connection), 0);
    begun++;
    lease.resize(MIB);
    return lease;
  });
  await vi.waitFor(() => expect(some.waiting).toBeGreaterThan(0));
  await turns();
  // 16 have room, and as many may have begun in the same turn as the last of them.
  expect(begun).toBeGreaterThanOrEqual(16);
  expect(begun).toBeLessThanOrEqual(32);
  let freed = 0;
  for (const each of all)
    void each.then((lease) => {
      lease.free();
      freed++;
    });
  await vi.waitFor(() => expect(freed).toBe(100));
});
