import { expect, test } from 'vitest';
import { runForeground } from './foreground.ts';

const never = new AbortController().signal;
const sh = (script: string, signal = never, env = process.env) =>
  runForeground(['/bin/sh', '-c', script], { env, signal });

test('the status is the program’s, 128 + n where a signal ended it', async () => {
  expect(await sh('exit 7')).toBe(7);
  expect(await sh('kill -9 $$')).toBe(137);
  expect(await sh('test "$A" = b', never, { A: 'b' })).toBe(0);
});

test('who is told to end passes it on, and waits', async () => {
  const stop = new AbortController();
  // Listened for before it can come: the shell may have begun when it is known to be started.
  const ready = new Promise((resolve) => process.once('SIGUSR1', resolve));
  const ended = sh('trap "exit 9" TERM; kill -USR1 $PPID; while :; do sleep 0.1; done', stop.signal);
  await ready;
  stop.abort(new Error('stopped'));
  expect(await ended).toBe(9);
});

test('a program that is not there has no status', async () => {
  expect(await runForeground(['no-such-program'], { env: process.env, signal: never })).toBeUndefined();
});
