import { mkdtempSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { createProcesses } from './processes.ts';
import { run } from './run.ts';
import { runBy } from './run-by.ts';
import { Starter } from './starter.ts';

const never = new AbortController().signal;
const limits = { signal: never, timeoutMs: 20_000 };

function setUp(starter = new Starter()) {
  const directory = mkdtempSync('/tmp/flt-run-by-');
  onTestFinished(() => {
    starter.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { directory, by: runBy(starter, directory) };
}

test.each([
  ['what is said', ['sh', '-c', 'cat; echo err >&2; echo more'], 'typed\n'],
  ['more than a pipe holds', ['sh', '-c', 'head -c 300000 /dev/zero | tr "\\0" x'], undefined],
  ['a failure, with its last words', ['sh', '-c', 'echo no such thing >&2; exit 3'], undefined],
  ['an end by a signal', ['sh', '-c', 'kill -TERM $$'], undefined],
  ['a program that is not there', ['flintlock-no-such-tool'], undefined],
] as const)('%s is as when the daemon runs it itself, and nothing is left', async (_what, argv, input) => {
  const { by, directory } = setUp();
  const given = { ...limits, ...(input !== undefined && { input }) };
  const [ours, theirs] = await Promise.allSettled([by(argv, given), run(argv, given)]);
  expect(ours).toEqual(theirs);
  expect(readdirSync(directory)).toEqual([]);
});

test('no file has a name at any time: a daemon may be killed at any', async () => {
  const { by, directory } = setUp();
  const seen: (string | null)[] = [];
  // `rename` is what a name comes or goes by; that a nameless one was written to is told, too.
  const watcher = watch(directory, (event, name) => {
    if (event === 'rename') seen.push(name);
  });
  onTestFinished(() => watcher.close());
  for (let i = 0; i < 5; i++) expect(await by(['echo', 'said'], limits)).toBe('said\n');
  writeFileSync(join(directory, 'last'), '');
  await expect.poll(() => seen).toContain('last');
  expect(new Set(seen)).toEqual(new Set(['last']));
});

test('what takes too long, or is broken off, is ended with all that it started before that is told', async () => {
  const { by } = setUp();
  const processes = createProcesses();
  const left = () => processes.find((argv) => argv.join(' ') === 'sleep 4711');
  const argv = ['sh', '-c', 'sleep 4711 & sleep 4711'] as const;
  await expect(by(argv, { signal: never, timeoutMs: 300 })).rejects.toMatchObject({
    kind: 'timeout',
    message: 'sh did not end in 300 ms',
  });
  const abort = new AbortController();
  const broken = expect(by(argv, { signal: abort.signal, timeoutMs: 20_000 })).rejects.toThrow('enough');
  while ((await left()).length < 2) await sleep(10);
  abort.abort(new Error('enough'));
  await broken;
  while ((await left()).length > 0) await sleep(10);
});

test('what says more and more is ended before it fills the memory', async () => {
  const { by } = setUp();
  await expect(by(['cat', '/dev/zero'], limits)).rejects.toMatchObject({
    kind: 'tool',
    message: 'cat said more than 32 MiB, and was ended',
  });
});

test('where there is no starter, and no room for its files, it is run all the same', async () => {
  const { by } = setUp(new Starter(['false']));
  for (;;)
    try {
      expect(await by(['echo', 'a'], limits)).toBe('a\n');
      break;
    } catch {
      await sleep(10); // it was not known yet
    }
  const nowhere = runBy(new Starter(), '/nowhere');
  expect(await nowhere(['echo', 'b'], limits)).toBe('b\n');
});
