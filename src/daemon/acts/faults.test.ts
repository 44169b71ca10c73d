import { describe, expect, test } from 'vitest';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { Fault } from '../../domain/fault.ts';
import type { LedgerKind } from '../../domain/ledger.ts';
import { type Act, type Acts, DIRECT } from '../../ports/acts.ts';
import { faulty } from './faults.ts';
import { limited } from './limits.ts';

class Killed extends Error {}
const untilAborted = (_ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

function actsOf(text: string, log = memoryLog(), below = DIRECT): Acts {
  const kill = (): never => {
    throw new Killed();
  };
  const clock = {
    sleep: (_ms: number, signal: AbortSignal) => (signal.aborted ? Promise.reject(signal.reason) : Promise.resolve()),
  };
  return faulty(below, { FLINTLOCK_TEST_FAULT: text, FLINTLOCK_TEST_FAULTS: 'allow' }, { log, clock, kill });
}

/** One entry from its intent to its mark. @returns what was done, in order, and how it ended */
async function run(acts: Acts, kind: LedgerKind, signal?: AbortSignal): Promise<string> {
  const done: string[] = [];
  try {
    await acts.run({ kind, way: 'make', ...(signal && { signal }) }, async () => void done.push('act'));
    done.push('mark');
    acts.marked({ kind, way: 'make' });
    return done.join(' ');
  } catch (error) {
    return `${done.join(' ')} ${error instanceof Killed ? 'killed' : (error as Error).message}`.trim();
  }
}

describe('without both variables nothing breaks', () => {
  const deps = { log: memoryLog(), clock: { sleep: async () => undefined }, kill: () => undefined };
  test('neither is set', () => expect(faulty(DIRECT, { PATH: '/bin' }, deps)).toBe(DIRECT));
  test.each([
    { FLINTLOCK_TEST_FAULT: 'tap:make:before:1:kill' },
    { FLINTLOCK_TEST_FAULTS: 'allow' },
    { FLINTLOCK_TEST_FAULT: 'tap:make:before:1:kill', FLINTLOCK_TEST_FAULTS: '1' },
  ])('%o is refused', (environment) => {
    expect(() => faulty(DIRECT, environment, deps)).toThrow('works only with FLINTLOCK_TEST_FAULTS=allow');
  });
});

test.each([
  ['tap:make:before:1:kill', 'killed'],
  ['tap:make:after:1:kill', 'act killed'],
  ['tap:make:marked:1:kill', 'act mark killed'],
  ['*:make:after:1:kill', 'act killed'],
  ['tap:unmake:after:1:kill', 'act mark'],
  ['lease:make:after:1:kill', 'act mark'],
  ['tap:make:before:2:kill', 'act mark'],
  ['tap:make:before:1:error', 'tap fails on purpose, before its act'],
  ['tap:make:after:1:error', 'act tap fails on purpose, after its act'],
  ['tap:make:before:1:hang', 'tap hung on purpose, before its act'],
  ['tap:make:before:1:twice', 'act act mark'],
])('%s: %s', async (rule, expected) => {
  expect(await run(actsOf(rule), 'tap')).toBe(expected);
});

test('the second time is counted, and only that', async () => {
  const acts = actsOf('tap:make:after:2:kill');
  expect([await run(acts, 'tap'), await run(acts, 'tap'), await run(acts, 'tap')]).toEqual([
    'act mark',
    'act killed',
    'act mark',
  ]);
});

test('what hangs ends by the act’s signal, and the limit of that act alone is short', async () => {
  const limits: number[] = [];
  const below: Acts = {
    ...DIRECT,
    run(act, work) {
      limits.push(act.limit?.ms ?? 0);
      return DIRECT.run(act, work);
    },
  };
  const acts = actsOf('tap:make:before:1:hang,lease:make:before:1:hold', memoryLog(), below);
  const limit = { ms: 60_000, late: () => new Fault('timeout', 'late') };
  const limitOf = async (act: Pick<Act, 'kind' | 'way'>, signal?: AbortSignal): Promise<number> => {
    await acts.run({ ...act, limit, ...(signal && { signal }) }, async () => undefined).catch(() => undefined);
    return limits.at(-1) ?? 0;
  };
  expect(await limitOf({ kind: 'tap', way: 'unmake' })).toBe(60_000);
  expect(await limitOf({ kind: 'lease', way: 'make' })).toBe(60_000);
  expect(await limitOf({ kind: 'tap', way: 'make' })).toBeLessThan(1_000);
  expect(await limitOf({ kind: 'tap', way: 'make' })).toBe(60_000); // it has hung
  const aborted = AbortSignal.abort(new Error('late'));
  expect(await run(actsOf('tap:make:before:1:hang'), 'tap', aborted)).toBe('late');
});

test('what holds ends by the limit that it has, or by its signal', async () => {
  const { log, clock } = { log: memoryLog(), clock: { sleep: untilAborted } };
  const rules = { FLINTLOCK_TEST_FAULT: 'tap:make:after:1:hold', FLINTLOCK_TEST_FAULTS: 'allow' };
  const acts = faulty(limited(DIRECT), rules, { log, clock, kill: () => undefined });
  const limit = { ms: 1, late: () => new Fault('timeout', 'no end of the tap') };
  await expect(acts.run({ kind: 'tap', way: 'make', limit }, async () => 7)).rejects.toThrow('no end of the tap');
});

test('a trace tells of each point and breaks nothing', async () => {
  const log = memoryLog();
  expect(await run(actsOf('trace', log), 'tap')).toBe('act mark');
  const told = log.lines.filter(({ message }) => message === 'fault point');
  expect(told.map(({ fields }) => (fields as { point: string }).point)).toEqual(['before', 'after', 'marked']);
});

test.each([
  'tap',
  'tap:make:before:0:kill',
  'tap:make:soon:1:kill',
  'tap:undo:before:1:kill',
  ':make:before:1:kill',
  'tap:make:before:1:explode',
  'tap:make:marked:1:error',
  'tap:make:after:1:twice',
  'tap:make:before:1:kill:x',
])('"%s" is no rule', (text) => {
  expect(() => actsOf(text)).toThrow('is no KIND:make|unmake');
});
