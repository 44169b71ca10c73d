import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { startedBed } from '../../test/support/started.ts';
import { Starter } from './starter.ts';

const never = new AbortController().signal;

function setUp(starter: Starter) {
  const bed = startedBed(starter);
  return { ...bed, words: () => readFileSync(`${bed.directory}/log`, 'utf8') };
}

/** As /proc/PID/stat has them, from the third on. */
const fieldsOf = (pid: number): readonly string[] =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
const parentOf = (pid: number): number => Number(fieldsOf(pid)[1]);

test('it starts many at once, each with its words, and tells how each ends', async () => {
  const { start } = setUp(new Starter());
  const codes = Array.from({ length: 50 }, (_, i) => i);
  const started = await Promise.all(
    codes.map((code) => start('sh', '-c', 'test "$1" = "a b" && exit "$0"', String(code), 'a b')),
  );
  expect(await Promise.all(started.map(({ exited }) => exited))).toEqual(
    codes.map((code) => ({ code, signal: null, seen: true })),
  );
  expect(new Set(started.map(({ identity }) => identity.pid)).size).toBe(codes.length);
});

test('what it starts hears every signal, blocks none, and has nothing open but what it is given', async () => {
  const { start, words } = setUp(new Starter());
  const script = 'grep -E "^Sig(Blk|Ign)" /proc/self/status; ls /proc/self/fd';
  expect(await (await start('sh', '-c', script)).exited).toMatchObject({ code: 0 });
  // The last one is of the list itself.
  expect(words()).toBe('SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0\n1\n2\n3\n');
});

test('what it has started outlives it, its end is seen from outside, and the next one starts what comes then', async () => {
  const { start, processes } = setUp(new Starter());
  const first = await start('sleep', '60');
  const starter = parentOf(first.identity.pid);
  expect(starter).not.toBe(process.pid);
  process.kill(starter, 'SIGKILL');
  const second = await (async () => {
    for (;;)
      try {
        return await start('sleep', '61'); // by another, once it is known that the first one is gone
      } catch {
        await sleep(10);
      }
  })();
  expect(parentOf(second.identity.pid)).not.toBe(starter);
  expect(await processes.inspect(first.identity)).toBeDefined();
  process.kill(first.identity.pid, 'SIGTERM');
  expect(await first.exited).toEqual({ code: null, signal: null, seen: false });
  await processes.ended(first.identity, never);
  process.kill(second.identity.pid, 'SIGTERM');
  expect(await second.exited).toEqual({ code: null, signal: 'SIGTERM', seen: true });
});

test('a program that does nothing else waits for what it has asked for, and ends when that is answered', async () => {
  const { directory } = setUp(new Starter());
  const script = `import { Starter } from '${import.meta.dirname}/starter.ts';
    const log = { how: 'a', path: '${directory}/log' };
    const made = await new Starter().start(['sh', '-c', 'exit 0'], [log, log, log], undefined);
    process.exitCode = made ? 5 : 6;`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  expect(await once(child, 'exit')).toEqual([5, null]);
});

test('when it is closed it ends, and what it has started does not', async () => {
  const starter = new Starter();
  const { start, processes } = setUp(starter);
  const { identity } = await start('sleep', '60');
  const parent = parentOf(identity.pid);
  starter.close();
  while (parentOf(identity.pid) === parent) await sleep(10);
  expect(await processes.inspect(identity)).toBeDefined();
});

test.each([
  ['is not there', ['flintlock-no-such-program']],
  ['ends at once', ['false']],
  ['does not understand', ['cat', '/nowhere']],
] as const)('where the starter %s the daemon starts it itself', async (_what, [program, ...rest]) => {
  const { start } = setUp(new Starter([program, ...rest]));
  const { identity, exited } = await (async () => {
    for (;;)
      try {
        return await start('sh', '-c', 'exit 3');
      } catch {
        await sleep(10); // it was not known yet
      }
  })();
  expect(identity.pid).toBeGreaterThan(0);
  expect(await exited).toEqual({ code: 3, signal: null, seen: true });
});

test.each<[string, [string, ...string[]]]>([
  ['is not there', ['/nowhere/perl']],
  ['ends before it is ready', ['sh', '-c', 'sleep 0.1; exit 2']],
])('where one %s nothing is started by it, each time that is tried', async (_, program) => {
  let now = 0;
  const starter = new Starter(program, () => now);
  onTestFinished(() => starter.close());
  for (let i = 0; i < 3; i++) {
    // Tried anew, and not.
    for (let j = 0; j < 2; j++) expect(await starter.start(['true'], [], undefined)).toBeUndefined();
    now += 61_000;
  }
});
