import { expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/fake-services.ts';
import type { RestartPolicy } from './spec.ts';
import { ended } from './transitions.ts';

const consoleOf = (status: number): string => `said\r\nflintlock-guest: ended exit=${status}\r\n`;

function endOf(
  restartPolicy: RestartPolicy,
  consoleTail: string,
  reason: 'GuestShutdown' | 'GuestPanic' = 'GuestShutdown',
) {
  const vm = sampleRecord({ state: { is: 'CREATED', reason: 'Running', message: '' }, hasRun: true });
  const judged = { consoleTail, now: 1_000, random: 0.5, maximumRetry: 3 };
  return ended(
    { ...vm, spec: { ...vm.spec, restartPolicy } },
    { reason, message: 'The guest powered itself off' },
    judged,
  );
}

test.each([
  ['NEVER', 0, 'STOPPED'],
  ['NEVER', 3, 'STOPPED'],
  ['ON_FAILURE', 0, 'STOPPED'],
  ['ON_FAILURE', 3, 'PENDING'],
  ['ALWAYS', 0, 'PENDING'],
] as const)('%s, and the program ended with %i: %s', (policy, status, is) => {
  const vm = endOf(policy, consoleOf(status));
  expect(vm).toMatchObject({ state: { is }, lastEnd: { reason: 'GuestShutdown', exitStatus: status } });
  expect(vm?.state.message).toContain(`The guest powered itself off; its program ended with exit status ${status}`);
});

test('a guest that says nothing ended in order, and one that died is not believed', () => {
  expect(endOf('ON_FAILURE', 'login:')?.lastEnd).not.toHaveProperty('exitStatus');
  expect(endOf('ON_FAILURE', 'login:')?.state.is).toBe('STOPPED');
  expect(endOf('NEVER', consoleOf(0), 'GuestPanic')).toMatchObject({ state: { is: 'FAILED' } });
  expect(endOf('NEVER', consoleOf(0), 'GuestPanic')?.lastEnd).not.toHaveProperty('exitStatus');
});
