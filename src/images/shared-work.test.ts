import { expect, test } from 'vitest';
import { SharedWork } from './shared-work.ts';

const never = new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Work that ends when the test says so, or with its signal. */
function gate() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const seen = { starts: 0, aborted: false };
  const work = async (signal: AbortSignal): Promise<string> => {
    seen.starts++;
    signal.addEventListener('abort', () => {
      seen.aborted = true;
    });
    return promise;
  };
  return { work, resolve, reject, seen };
}

test('many callers of one key share one run and its result', async () => {
  const shared = new SharedWork<string>();
  const { work, resolve, seen } = gate();
  const all = Promise.all([1, 2, 3].map(() => shared.run('a', never, work)));
  await turn();
  resolve('done');
  expect(await all).toEqual(['done', 'done', 'done']);
  expect(seen.starts).toBe(1);
  expect(shared.isUnderWay('a')).toBe(false);
});

test('keys do not wait for each other', async () => {
  const shared = new SharedWork<string>();
  const { work, resolve } = gate();
  const slow = shared.run('slow', never, work);
  expect(await shared.run('quick', never, async () => 'q')).toBe('q');
  resolve('s');
  expect(await slow).toBe('s');
});

test('one caller who aborts leaves at once and the others get theirs', async () => {
  const shared = new SharedWork<string>();
  const { work, resolve, seen } = gate();
  const stop = new AbortController();
  const one = shared.run('a', stop.signal, work);
  const two = shared.run('a', never, work);
  await turn();
  stop.abort(new Error('enough'));
  await expect(one).rejects.toThrow('enough');
  expect(seen.aborted).toBe(false);
  resolve('done');
  expect(await two).toBe('done');
});

test('the last to abort ends the work, and who comes then waits for its end and begins anew', async () => {
  const shared = new SharedWork<string>();
  const first = gate();
  const stop = new AbortController();
  const one = shared.run('a', stop.signal, first.work);
  await turn();
  stop.abort(new Error('enough'));
  await expect(one).rejects.toThrow('enough');
  expect(first.seen.aborted).toBe(true);

  let began = false;
  const two = shared.run('a', never, async () => {
    began = true;
    return 'second';
  });
  await turn();
  expect(began).toBe(false); // the first is still putting things away
  first.reject(new Error('aborted'));
  expect(await two).toBe('second');
});

test('a failure reaches all, and the next caller tries again', async () => {
  const shared = new SharedWork<string>();
  const fails = async (): Promise<string> => {
    throw new Error('no');
  };
  const results = await Promise.allSettled([shared.run('a', never, fails), shared.run('a', never, fails)]);
  expect(results.map((r) => r.status)).toEqual(['rejected', 'rejected']);
  expect(await shared.run('a', never, async () => 'yes')).toBe('yes');
});

test('a signal that has aborted before starts nothing', async () => {
  const shared = new SharedWork<string>();
  const { work, seen } = gate();
  await expect(shared.run('a', AbortSignal.abort(new Error('late')), work)).rejects.toThrow('late');
  expect(seen.starts).toBe(0);
});

test('bytes reach everybody, also who comes later', async () => {
  const shared = new SharedWork<string>();
  const { promise, resolve } = Promise.withResolvers<string>();
  const told: string[] = [];
  const one = shared.run(
    'a',
    never,
    (_signal, report) => {
      report(1, 10);
      return promise;
    },
    (done, total) => told.push(`one ${done}/${total}`),
  );
  await turn();
  const two = shared.run(
    'a',
    never,
    async () => 'x',
    (done, total) => told.push(`two ${done}/${total}`),
  );
  resolve('done');
  await Promise.all([one, two]);
  expect(told).toEqual(['one 1/10', 'two 1/10']);
});

test('settled waits for work that nobody waits for any more', async () => {
  const shared = new SharedWork<string>();
  const { work, reject } = gate();
  const stop = new AbortController();
  const one = shared.run('a', stop.signal, work);
  await turn();
  stop.abort();
  await expect(one).rejects.toThrow();
  let settled = false;
  const end = shared.settled().then(() => {
    settled = true;
  });
  await turn();
  expect(settled).toBe(false);
  reject(new Error('put away'));
  await end;
});
