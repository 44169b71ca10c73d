import { describe, expect, test } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { LedgerKind } from '../domain/ledger.ts';
import { type FaultPoints, NO_FAULTS } from '../ports/fault-points.ts';
import { faultPointsOf } from './fault-points.ts';

class Killed extends Error {}

function pointsOf(text: string, log = memoryLog()): FaultPoints {
  const kill = (): never => {
    throw new Killed();
  };
  const clock = {
    sleep: (_ms: number, signal: AbortSignal) => (signal.aborted ? Promise.reject(signal.reason) : Promise.resolve()),
  };
  return faultPointsOf({ FLINTLOCK_TEST_FAULT: text, FLINTLOCK_TEST_FAULTS: 'allow' }, { log, clock, kill });
}

/** One entry from its intent to its mark. @returns what was done, in order, and how it ended */
async function run(points: FaultPoints, kind: LedgerKind, signal?: AbortSignal): Promise<string> {
  const done: string[] = [];
  try {
    await points.act(kind, 'make', async () => void done.push('act'), signal);
    done.push('mark');
    points.marked(kind, 'make');
    return done.join(' ');
  } catch (error) {
    return `${done.join(' ')} ${error instanceof Killed ? 'killed' : (error as Error).message}`.trim();
  }
}

describe('without both variables nothing breaks', () => {
  const deps = { log: memoryLog(), clock: { sleep: async () => undefined }, kill: () => undefined };
  test('neither is set', () => expect(faultPointsOf({ PATH: '/bin' }, deps)).toBe(NO_FAULTS));
  test.each([
    { FLINTLOCK_TEST_FAULT: 'tap:make:before:1:kill' },
    { FLINTLOCK_TEST_FAULTS: 'allow' },
    { FLINTLOCK_TEST_FAULT: 'tap:make:before:1:kill', FLINTLOCK_TEST_FAULTS: '1' },
  ])('%o is refused', (environment) => {
    expect(() => faultPointsOf(environment, deps)).toThrow('works only with FLINTLOCK_TEST_FAULTS=allow');
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
  expect(await run(pointsOf(rule), 'tap')).toBe(expected);
});

test('the second time is counted, and only that', async () => {
  const points = pointsOf('tap:make:after:2:kill');
  expect([await run(points, 'tap'), await run(points, 'tap'), await run(points, 'tap')]).toEqual([
    'act mark',
    'act killed',
    'act mark',
  ]);
});

test('what hangs ends by the step’s signal, and the limit of that step alone is short', async () => {
  const points = pointsOf('tap:make:before:1:hang,lease:make:before:1:hold');
  expect(points.limitMs('tap', 'make', 60_000)).toBeLessThan(1_000);
  expect(await run(points, 'tap', AbortSignal.abort(new Error('late')))).toBe('late');
  expect(points.limitMs('tap', 'unmake', 60_000)).toBe(60_000);
  expect(points.limitMs('lease', 'make', 60_000)).toBe(60_000);
  expect(points.limitMs('tap', 'make', 60_000)).toBe(60_000); // it has hung
});

test('a trace tells of each point and breaks nothing', async () => {
  const log = memoryLog();
  expect(await run(pointsOf('trace', log), 'tap')).toBe('act mark');
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
  expect(() => pointsOf(text)).toThrow('is no KIND:make|unmake');
});
