import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/fake-services.ts';
import { powerSeen } from './conditions.ts';
import { Fault } from './fault.ts';
import type { MicroVm, StateName } from './microvm.ts';
import {
  addressed,
  clearedAway,
  clockRight,
  deleting,
  ended,
  failed,
  guestSays,
  type Judged,
  preparing,
  stillNotAgain,
  willRetry,
} from './transitions.ts';

const fault = new Fault('tool', 'it failed', { reason: 'NetworkFailed' });
const pending: MicroVm = sampleRecord({ state: { is: 'PENDING', reason: 'Preparing', message: '' }, conditions: [] });

const judged = (now: number): Judged => ({ consoleTail: 'tail', now, random: 0.5, maximumRetry: 3 });

type Report = readonly [name: string, apply: (vm: MicroVm, now: number) => MicroVm | undefined];
const reports: readonly Report[] = [
  ['preparing', (vm) => preparing(vm, 'Starting', 'x')],
  ['running', (vm, now) => guestSays(vm, 'running', now)],
  ['paused', (vm, now) => guestSays(vm, 'paused', now)],
  ['held', (vm, now) => guestSays(vm, 'held', now)],
  ['unreachable', (vm, now) => guestSays(vm, 'unreachable', now)],
  ['shut down', (vm, now) => ended(vm, { reason: 'GuestShutdown', message: 'off' }, judged(now))],
  ['panicked', (vm, now) => ended(vm, { reason: 'GuestPanic', message: 'panic' }, judged(now))],
  ['reset', (vm, now) => ended(vm, { reason: 'GuestReset', message: 'reset', isReset: true }, judged(now))],
  ['not again', (vm) => stillNotAgain(vm)],
  ['cleared away', (vm) => clearedAway(vm)],
  ['power seen', (vm, now) => powerSeen(vm, now % 2 ? 'it does not tell' : undefined, now)],
  ['retry', (vm, now) => willRetry(vm, fault, now + 1_000)],
  ['failed', (vm) => failed(vm, fault, 'tail')],
  ['addressed', (vm, now) => addressed(vm, 'eth0', [`10.0.0.${now % 4}`])],
];
const deletion: Report = ['delete', (vm, now) => deleting(vm, now)];

/** Where a record may go from each state. */
const NEXT: Record<StateName, readonly StateName[]> = {
  PENDING: ['PENDING', 'CREATED', 'PAUSED', 'STOPPED', 'FAILED', 'DELETING'],
  CREATED: ['CREATED', 'PENDING', 'PAUSED', 'STOPPED', 'FAILED', 'DELETING'],
  PAUSED: ['PAUSED', 'CREATED', 'PENDING', 'STOPPED', 'FAILED', 'DELETING'],
  STOPPED: ['STOPPED', 'DELETING'],
  FAILED: ['FAILED', 'DELETING'],
  DELETING: ['DELETING'],
};

const sequences = fc.array(fc.constantFrom(...reports, deletion), { maxLength: 30 });

test('no sequence of reports goes where its state does not lead, nor undoes a delete', () => {
  fc.assert(
    fc.property(sequences, (sequence) => {
      let vm = pending;
      let isDeleted = false;
      sequence.forEach(([name, apply], now) => {
        const next = apply(vm, now) ?? vm;
        expect(NEXT[vm.state.is]).toContain(next.state.is);
        isDeleted ||= name === 'delete';
        expect(next.state.is === 'DELETING').toBe(isDeleted);
        expect(next.deletedAt !== undefined).toBe(isDeleted);
        expect(new Set(next.conditions.map(({ type }) => type)).size).toBe(next.conditions.length);
        vm = next;
      });
    }),
    { numRuns: 500 },
  );
});

test('a report that changes nothing stores nothing', () => {
  fc.assert(
    fc.property(sequences, (sequence) => {
      let vm = pending;
      sequence.forEach(([name, apply], now) => {
        const next = apply(vm, now);
        if (next === undefined) return;
        // A retry always counts; every other report that is answered has changed something that is seen.
        if (name !== 'retry') expect(apply(next, now)).toBeUndefined();
        vm = next;
      });
    }),
  );
});

describe('a delete', () => {
  test('takes the attempts of the create away, and a second changes nothing', () => {
    const vm = deleting({ ...pending, retry: 7 }, 5);
    expect(vm).toMatchObject({ retry: 0, deletedAt: 5, state: { is: 'DELETING', reason: 'Deleting' } });
    expect(vm && deleting(vm, 6)).toBeUndefined();
  });

  test('that is blocked says why and when it is tried again', () => {
    const vm = deleting(pending, 5);
    expect(vm && willRetry(vm, fault, 99)?.state).toMatchObject({
      is: 'DELETING',
      reason: 'DeleteBlocked',
      message: 'it failed',
      nextRetryAt: 99,
    });
  });
});

describe('conditions', () => {
  test('keep the time of their last change of status', () => {
    const first = guestSays(pending, 'running', 1);
    const held = first && guestSays(first, 'held', 2);
    const silent = held && guestSays(held, 'unreachable', 3);
    const back = silent && guestSays(silent, 'running', 4);
    const running = (vm: MicroVm | undefined) => vm?.conditions.find(({ type }) => type === 'Running');
    expect(running(first)).toMatchObject({ status: 'True', lastTransitionAt: 1 });
    expect(running(held)).toMatchObject({ status: 'False', reason: 'StorageFull', lastTransitionAt: 2 });
    expect(running(silent)).toMatchObject({ status: 'Unknown', lastTransitionAt: 3 });
    expect(running(back)).toMatchObject({ status: 'True', lastTransitionAt: 4 });
    const ends = held && ended(held, { reason: 'GuestPanic', message: 'm' }, judged(9));
    expect(running(ends)).toMatchObject({ status: 'False', reason: 'GuestPanic', lastTransitionAt: 2 });
  });

  test('unknown is never shown as running', () => {
    const vm = guestSays(sampleRecord(), 'unreachable', 1);
    expect(vm?.state).toMatchObject({ is: 'PENDING', reason: 'VmmUnreachable' });
  });
});

describe('the clock of a guest', () => {
  const runs = (vm: MicroVm, now: number): MicroVm => guestSays(vm, 'running', now) ?? vm;
  const stops = (vm: MicroVm, how: 'paused' | 'held', now: number): MicroVm => guestSays(vm, how, now) ?? vm;

  test('is behind by how long its CPU stood still, and that is told until it boots anew', () => {
    const first = runs(stops(runs(pending, 1_000), 'paused', 10_000), 154_000);
    expect(first.state.message).toMatch(/^The guest runs; its clock is 144 s behind/);
    const both = runs(stops(first, 'held', 200_000), 206_000);
    expect(both.state.message).toMatch(/clock is 150 s behind/);
    expect(stops(both, 'paused', 300_000).state.message).toBe('The guest is paused, and its clock stands still');
    expect(clockRight(both)?.state.message).toBe('The guest runs');
    expect(clockRight(pending)).toBeUndefined();
  });

  test('is not while its monitor did not answer, and not in the next run', () => {
    const away = guestSays(runs(pending, 1_000), 'unreachable', 2_000) ?? pending;
    expect(runs(away, 90_000).state.message).toBe('The guest runs');
    const behind = runs(stops(runs(pending, 1_000), 'paused', 10_000), 154_000);
    const over = ended(behind, { reason: 'GuestPanic', message: 'panic' }, judged(160_000));
    expect(over).toBeDefined();
    expect(over?.clockBehindMs).toBeUndefined();
  });

  test('a moment is not worth a word', () => {
    expect(runs(stops(runs(pending, 1_000), 'paused', 10_000), 10_400).state.message).toBe('The guest runs');
  });
});

test('whatever a tool said, the message of a state is one line', () => {
  const told = new Fault('tool', 'x failed: a\\x0a\n  b');
  expect(willRetry(pending, told, 1)?.state).toMatchObject({ message: 'x failed: a b' });
  expect(failed(pending, told, '')?.state).toMatchObject({ message: 'x failed: a b' });
});
