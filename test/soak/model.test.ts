import { expect, test } from 'vitest';
import { type Known, missingWhenCalm, type Shown, wrongAtAnyTime } from './model.ts';

const known = (change: Partial<Known> = {}): Known => ({
  id: 'a',
  uid: 'U',
  policy: 'ON_FAILURE',
  wanted: new Set(['running']),
  mayBePaused: false,
  kills: 0,
  deleting: false,
  ...change,
});
const shown = (state: Shown['state'], vmms: number, willRetry = false): Shown => ({
  state,
  vmms,
  willRetry,
  reason: 'R',
  message: 'm',
});

test.each([
  ['two VMMs', known(), shown('CREATED', 2), /2 VMMs/],
  ['a lost create', known(), shown('GONE', 0), /nobody deleted it/],
  ['a lost delete', known({ deleting: true }), shown('CREATED', 1), /acknowledged and lost/],
  ['a stop that nobody asked for', known(), shown('STOPPED', 0), /nobody stopped it/],
  ['a start that nobody asked for', known({ wanted: new Set(['stopped']) }), shown('CREATED', 1), /nobody started it/],
  ['a failure without a death', known({ policy: 'NEVER' }), shown('FAILED', 0), /allow no FAILED/],
  ['a failure that the policy forbids', known({ kills: 3 }), shown('FAILED', 0), /allow no FAILED/],
  ['a pause that nobody asked for', known(), shown('PAUSED', 1), /nobody paused it/],
])('wrong at any time: %s', (_what, vm, seen, words) => {
  expect(wrongAtAnyTime(vm, seen)).toMatch(words);
  expect(missingWhenCalm(vm, seen)).toMatch(words);
});

test.each([
  ['one that died and must not come back', known({ policy: 'NEVER', kills: 1 }), shown('FAILED', 0)],
  ['one that waits for its next start', known({ kills: 2 }), shown('PENDING', 0, true)],
  ['one that runs', known({ kills: 2 }), shown('CREATED', 1)],
  ['one that was stopped', known({ wanted: new Set(['stopped']) }), shown('STOPPED', 0)],
  ['one that is gone', known({ deleting: true }), shown('GONE', 0)],
  ['one whose answer was lost', known({ wanted: new Set(['running', 'stopped']) }), shown('CREATED', 1)],
])('right when calm: %s', (_what, vm, seen) => {
  expect(wrongAtAnyTime(vm, seen)).toBeUndefined();
  expect(missingWhenCalm(vm, seen)).toBeUndefined();
});

test.each([
  ['shown as running and dead', known(), shown('CREATED', 0), /does not run/],
  ['shown as stopped and alive', known({ wanted: new Set(['stopped']) }), shown('STOPPED', 1), /its VMM lives/],
  ['gone and alive', known({ deleting: true }), shown('GONE', 1), /its VMM lives/],
  ['pending without a reason', known(), shown('PENDING', 0, true), /is PENDING/],
  ['deleting for ever', known({ deleting: true }), shown('DELETING', 0), /is DELETING/],
])('missing when calm: %s', (_what, vm, seen, words) => {
  expect(missingWhenCalm(vm, seen)).toMatch(words);
});
