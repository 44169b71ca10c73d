import { describe, expect, test } from 'vitest';
import { eventually, FakeClock, turn } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { Uid } from '../domain/microvm.ts';
import { Interrupted, type Look, Scheduler } from './scheduler.ts';

const [one, two] = ['one', 'two'] as unknown as readonly [Uid, Uid];

interface Call {
  readonly uid: Uid;
  readonly signal: AbortSignal;
  end(next?: number): void;
  fail(error: unknown): void;
}

/** A scheduler whose looks a test ends by hand. */
function setUp(look?: Look) {
  const clock = new FakeClock();
  const log = memoryLog();
  const calls: Call[] = [];
  const byHand: Look = (uid, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    calls.push({ uid, signal, end: resolve, fail: reject });
    return promise;
  };
  const scheduler = new Scheduler(look ?? byHand, { clock, log });
  const call = (i: number): Call => {
    const found = calls[i];
    if (!found) throw new Error(`there were ${calls.length} looks only`);
    return found;
  };
  return { clock, log, calls, call, scheduler };
}
const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await turn();
};

describe('a wake', () => {
  test('begins a look at once', () => {
    const { scheduler, calls } = setUp();
    scheduler.wake(one);
    expect(calls).toHaveLength(1);
  });

  test('during a look means one look more after it, however many there were', async () => {
    const { scheduler, calls, call } = setUp();
    scheduler.wake(one);
    for (let i = 0; i < 5; i++) scheduler.wake(one);
    await settle();
    expect(calls).toHaveLength(1);
    call(0).end();
    await settle();
    expect(calls).toHaveLength(2);
    call(1).end();
    await settle();
    expect(calls).toHaveLength(2);
  });

  test('at another is not held up', () => {
    const { scheduler, calls } = setUp();
    scheduler.wake(one);
    scheduler.wake(two);
    expect(calls.map(({ uid }) => uid)).toEqual([one, two]);
  });

  test('from within the look itself means one look more', async () => {
    let looks = 0;
    const { scheduler } = setUp(async (uid) => {
      if (++looks < 3) scheduler.wake(uid);
      return undefined;
    });
    scheduler.wake(one);
    await settle();
    expect(looks).toBe(3);
  });
});

test('never are there two looks at one at once, whatever comes in between', async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  let now = 0;
  let most = 0;
  let looks = 0;
  const { scheduler, clock } = setUp(async () => {
    most = Math.max(most, ++now);
    looks++;
    await Promise.race([released, turn()]);
    now--;
    return looks % 3 === 0 ? clock.now() + 10 : undefined;
  });
  for (let i = 0; i < 60; i++) {
    if (i % 2) scheduler.wake(one);
    if (i % 5 === 0) scheduler.interrupt(one);
    if (i % 7 === 0) clock.advance(10);
    if (i % 3 === 0) await turn();
  }
  release();
  await scheduler.stop();
  expect(most).toBe(1);
  expect(looks).toBeGreaterThan(10);
});

describe('an interrupt', () => {
  test('aborts the look under way and looks again, with a fresh signal', async () => {
    const { scheduler, calls, call } = setUp();
    scheduler.wake(one);
    scheduler.interrupt(one);
    expect(call(0).signal.reason).toBeInstanceOf(Interrupted);
    expect(calls).toHaveLength(1); // not before the first has ended
    call(0).fail(call(0).signal.reason);
    await settle();
    expect(calls).toHaveLength(2);
    expect(call(1).signal.aborted).toBe(false);
  });

  test('with no look under way begins one, also where one waits for its time', async () => {
    const { scheduler, calls, call, clock } = setUp();
    scheduler.interrupt(one);
    call(0).end(clock.now() + 1_000_000);
    await settle();
    expect(clock.waiting).toBe(1);
    scheduler.interrupt(one);
    expect(calls).toHaveLength(2);
    expect(clock.waiting).toBe(0);
  });

  test('leaves the others alone', () => {
    const { scheduler, call } = setUp();
    scheduler.wake(one);
    scheduler.wake(two);
    scheduler.interrupt(one);
    expect(call(1).signal.aborted).toBe(false);
  });
});

describe('the next look', () => {
  test('comes when the last one said, once', async () => {
    const { scheduler, calls, call, clock } = setUp();
    scheduler.wake(one);
    call(0).end(clock.now() + 500);
    await settle();
    clock.advance(499);
    expect(calls).toHaveLength(1);
    clock.advance(1);
    expect(calls).toHaveLength(2);
    call(1).end();
    await settle();
    expect(clock.waiting).toBe(0);
  });

  test('comes at once where its time is past', async () => {
    const { scheduler, calls, call, clock } = setUp();
    scheduler.wake(one);
    call(0).end(clock.now() - 5);
    await settle();
    clock.advance(0);
    expect(calls).toHaveLength(2);
  });

  test('comes earlier by a wake, and its timer is not left behind', async () => {
    const { scheduler, calls, call, clock } = setUp();
    scheduler.wake(one);
    call(0).end(clock.now() + 500);
    await settle();
    scheduler.wake(one);
    expect(calls).toHaveLength(2);
    expect(clock.waiting).toBe(0);
  });

  test('after one that failed unforeseen comes later, and the failure is told', async () => {
    const { scheduler, calls, call, clock, log } = setUp();
    scheduler.wake(one);
    call(0).fail(new Error('a bug'));
    await eventually('a timer waits', () => clock.waiting === 1);
    expect(log.lines).toMatchObject([{ level: 'error' }]);
    clock.advance(60_000);
    expect(calls).toHaveLength(2);
  });

  test('of one that throws at once is the same', async () => {
    const { scheduler, clock } = setUp(() => {
      throw new Error('a bug');
    });
    scheduler.wake(one);
    await eventually('a timer waits', () => clock.waiting === 1);
  });
});

describe('the stop', () => {
  test('aborts every look, waits for their ends, and begins no other', async () => {
    const { scheduler, calls, call, clock } = setUp();
    scheduler.wake(one);
    scheduler.wake(two);
    scheduler.wake(one);
    let isStopped = false;
    const stopped = scheduler.stop().then(() => {
      isStopped = true;
    });
    expect(calls.every(({ signal }) => signal.aborted)).toBe(true);
    call(0).fail(call(0).signal.reason);
    await settle();
    expect(isStopped).toBe(false);
    call(1).end(clock.now() + 5);
    await stopped;
    scheduler.wake(one);
    scheduler.interrupt(two);
    clock.advance(1_000);
    expect(calls).toHaveLength(2);
    expect(clock.waiting).toBe(0);
  });

  test('takes the timers with it', async () => {
    const { scheduler, call, clock } = setUp();
    scheduler.wake(one);
    call(0).end(clock.now() + 500);
    await settle();
    await scheduler.stop();
    expect(clock.waiting).toBe(0);
  });
});

test('settled waits for the looks under way at these and no others', async () => {
  const { scheduler, call } = setUp();
  scheduler.wake(one);
  scheduler.wake(two);
  let isSettled = false;
  const settled = scheduler.settled([one, 'unknown' as Uid]).then(() => {
    isSettled = true;
  });
  await settle();
  expect(isSettled).toBe(false);
  call(0).end();
  await settled;
});

test('it serves records of any kind, each by a key of its own', async () => {
  const looked: `pool:${string}`[] = [];
  const deps = { clock: new FakeClock(), log: memoryLog() };
  const pools = new Scheduler<`pool:${string}`>(async (key) => void looked.push(key), deps);
  pools.wake('pool:small');
  pools.wake('pool:large');
  await pools.settled(['pool:small', 'pool:large']);
  expect(looked).toEqual(['pool:small', 'pool:large']);
});
