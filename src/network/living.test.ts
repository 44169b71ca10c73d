import { expect, test } from 'vitest';
import { eventually, FakeClock, turn } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { Converse, Run } from '../ports/host.ts';
import { createLiving } from './living.ts';
import { livingIp, livingNft } from './living-forms.ts';

/** A process that stays: what it was told, and how it answers. */
interface Kept {
  readonly said: string[];
  readonly pid: number;
  isOver: boolean;
  /** It ends by itself, or by somebody. */
  exit(code: number | null, signal?: string): void;
}

/** What it answers to a line; undefined: nothing, not even to the mark. */
type Answers = (line: string, kept: Kept) => string | undefined;

function hands(answers: Answers = () => '', spawned: Run = async (_argv, { input }) => `spawned ${input}`) {
  const kept: Kept[] = [];
  const runs: string[] = [];
  const clock = new FakeClock();
  const log = memoryLog();
  const over = new AbortController();
  const converse: Converse = (_argv, { onText, signal }) => {
    const { promise: ended, resolve } = Promise.withResolvers<{ code: number | null; signal: string | null }>();
    const one: Kept = {
      said: [],
      pid: kept.length + 1,
      isOver: false,
      exit(code, by) {
        one.isOver = true;
        resolve({ code, signal: by ?? null });
      },
    };
    kept.push(one);
    const end = (): void => one.exit(null, 'SIGKILL');
    signal.addEventListener('abort', end);
    let isDeaf = false;
    return {
      pid: one.pid,
      end,
      ended,
      say(text) {
        for (const line of text.split('\n').filter(Boolean)) {
          if (one.isOver || isDeaf) return;
          one.said.push(line);
          const answer = /^zz\d+$/.test(line)
            ? `Object "${line}" is unknown, try "ip help".\nCommand failed -:1\n`
            : answers(line, one);
          if (answer === undefined) isDeaf = true;
          else setImmediate(onText, answer);
        }
      },
    };
  };
  const noted: Run = (argv, limits) => {
    runs.push(limits.input ?? '');
    return spawned(argv, limits);
  };
  const living = createLiving(livingIp(), noted, { converse, clock, log, patience: 1, signal: over.signal });
  const ask = (lines: readonly string[], signal = new AbortController().signal, timeoutMs = 60_000) =>
    living(['ip', '-j', '-d', '-batch', '-'], { signal, timeoutMs, input: `${lines.join('\n')}\n` });
  const wordsOf = (index: number) => kept[index]?.said.filter((line) => !line.startsWith('zz')) ?? [];
  return { ask, kept, runs, clock, log, over, wordsOf };
}

test('acts are done by one that stays, one after another, and nothing is started for them', async () => {
  const { ask, kept, runs, wordsOf } = hands((line) => (line.includes('show') ? '[{"ifname":"x"}]\n' : ''));
  expect(await ask(['link set dev x up', 'link show dev x'])).toBe('[{"ifname":"x"}]\n');
  expect(await ask(['link delete dev x'])).toBe('');
  expect(kept).toHaveLength(1);
  expect(wordsOf(0)).toEqual(['link set dev x up', 'link show dev x', 'link delete dev x']);
  expect(runs).toEqual([]);
});

test('one that does not do it is ended, and a process of its own does what is left: its word counts', async () => {
  const { ask, kept, runs, wordsOf } = hands(
    (line) => (line === 'two' ? 'RTNETLINK answers: File exists\nCommand failed -:3\n' : ''),
    async () => {
      expect(kept[0]?.isOver).toBe(true);
      throw new Fault('tool', 'ip failed (exit status 2): RTNETLINK answers: File exists');
    },
  );
  await expect(ask(['one', 'two', 'three'])).rejects.toThrow('ip failed (exit status 2): RTNETLINK answers: File');
  expect(wordsOf(0)).toEqual(['one', 'two']);
  expect(runs).toEqual(['two\nthree\n']);
  expect(await ask(['four'])).toBe('');
  expect(wordsOf(1)).toEqual(['four']);
});

test('one that ends by itself over an act is such a one', async () => {
  const { ask, runs } = hands((line, one) => {
    if (line !== 'two') return '';
    one.exit(1);
    return undefined;
  });
  expect(await ask(['one', 'two'])).toBe('spawned two\n');
  expect(runs).toEqual(['two\n']);
});

test('one that somebody kills over an act fails it, once, and no other', async () => {
  const { ask, runs, wordsOf } = hands((line, one) => {
    if (line === 'two') one.exit(null, 'SIGKILL');
    return '';
  });
  const acts = [ask(['two']), ask(['one']), ask(['three'])];
  await expect(acts[0]).rejects.toMatchObject({
    kind: 'tool',
    message: 'ip failed (ended by SIGKILL): it said nothing',
  });
  expect(await Promise.all(acts.slice(1))).toEqual(['', '']);
  expect([0, 1, 2, 3].flatMap(wordsOf).toSorted()).toEqual(['one', 'three', 'two']);
  expect(runs).toEqual([]);
});

test('one that is killed between acts is missed by nobody', async () => {
  const { ask, kept, wordsOf } = hands();
  await ask(['one']);
  kept[0]?.exit(null, 'SIGKILL');
  await turn();
  expect(await ask(['two'])).toBe('');
  expect(wordsOf(1)).toEqual(['two']);
});

test('one that hangs is ended when the time of its act is up, and the words say what to raise', async () => {
  const { ask, kept, runs } = hands((line) => (line === 'two' ? undefined : ''));
  await expect(ask(['one', 'two'], undefined, 20)).rejects.toMatchObject({
    kind: 'timeout',
    message: 'ip did not end in 20 ms; if this host is slow, give the daemon a larger --patience',
  });
  expect(kept[0]?.isOver).toBe(true);
  expect(runs).toEqual([]);
});

test('an abort ends the one that is at it before it is told, and its reason comes', async () => {
  const { ask, kept, runs } = hands((line) => (line === 'two' ? undefined : ''));
  const abort = new AbortController();
  const act = ask(['two'], abort.signal);
  await eventually('it is said', () => kept[0]?.said.includes('two'));
  abort.abort(new Error('deleted'));
  await expect(act).rejects.toThrow('deleted');
  expect(kept[0]?.isOver).toBe(true);
  await expect(ask(['one'], AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
  expect(kept).toHaveLength(1);
  expect(runs).toEqual([]);
});

test('who waits may leave, and the others go on in their order', async () => {
  const { ask, kept } = hands((line) => (line === 'hang' ? undefined : ''));
  const ends = Array.from({ length: 4 }, () => new AbortController());
  const hanging = ends.map(({ signal }) => ask(['hang'], signal).catch(String));
  const leaving = new AbortController();
  const left = ask(['left'], leaving.signal);
  const next = ask(['next']);
  leaving.abort(new Error('left'));
  await expect(left).rejects.toThrow('left');
  await eventually('four are at it', () => kept.filter(({ said }) => said.includes('hang')).length === 4);
  ends[0]?.abort(new Error('enough'));
  expect(await next).toBe('');
  for (const end of ends) end.abort(new Error('enough'));
  await Promise.all(hanging);
  expect(kept.flatMap(({ said }) => said)).not.toContain('left');
});

test('where none can be spoken to, each act has its own process, and it is told once and tried again later', async () => {
  const { ask, kept, clock, log } = hands();
  const dead = hands();
  const never = createLiving(livingNft(), async () => 'spawned', {
    converse: () => ({
      pid: undefined,
      say: () => undefined,
      end: () => undefined,
      ended: Promise.resolve({ code: null, signal: null }),
    }),
    ...{ clock: dead.clock, log: dead.log, patience: 1, signal: dead.over.signal },
  });
  const limits = { signal: new AbortController().signal, timeoutMs: 1_000, input: 'x\n' };
  for (let i = 0; i < 3; i++) expect(await never(['nft', '-f', '-'], limits)).toBe('spawned');
  dead.clock.advance(60_000);
  expect(await never(['nft', '-f', '-'], limits)).toBe('spawned');
  expect(dead.log.lines.filter(({ level }) => level === 'info')).toEqual([
    {
      level: 'info',
      message: 'a tool cannot be kept, and is started for each act instead',
      fields: { tool: 'nft -i', why: '(not started): it said nothing' },
    },
  ]);
  expect(dead.log.lines.filter(({ level }) => level === 'debug')).toHaveLength(1);
  expect(await ask(['one'])).toBe('');
  expect([kept.length, clock.waiting, log.lines.length]).toEqual([1, 0, 0]);
});

test('after a thousand words another takes its place', async () => {
  const { ask, kept, wordsOf } = hands();
  for (let i = 0; i < 500; i++) await ask(['one']);
  expect(kept[0]?.isOver).toBe(true);
  await ask(['one']);
  expect(wordsOf(1)).toEqual(['one']);
});

test('what many acts at once have started is ended after a while, but for one', async () => {
  const { ask, kept, clock } = hands();
  await Promise.all(Array.from({ length: 20 }, () => ask(['one'])));
  expect(kept).toHaveLength(4);
  clock.advance(10_000);
  expect(kept.filter(({ isOver }) => !isOver)).toHaveLength(1);
  expect(clock.waiting).toBe(0);
});

test('when the daemon ends they end, and what is still to be done has its own process', async () => {
  const { ask, kept, over, clock } = hands();
  await Promise.all([ask(['one']), ask(['two'])]);
  over.abort();
  expect(kept.map(({ isOver }) => isOver)).toEqual([true, true]);
  expect(clock.waiting).toBe(0);
  await turn();
  expect(await ask(['three'])).toBe('spawned three\n');
});
