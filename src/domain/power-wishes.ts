import { Fault } from './fault.ts';
import type { AskedOfVmm, MicroVm, Millis } from './microvm.ts';
import { hasRun } from './restart.ts';

/**
 * What the power verbs make of a record. Each answers undefined where it is so
 * already: a verb that is said twice does no harm.
 */

export const POWER_VERBS = ['start', 'stop', 'reboot', 'pause', 'resume'] as const;
export type PowerVerb = (typeof POWER_VERBS)[number];

/** What each needs, for the user. */
const NEEDS: Readonly<Record<PowerVerb, string>> = {
  start: 'only a STOPPED or FAILED one can be started, or one that waits for its next start',
  stop: 'only one that runs, is paused or is being started can be stopped',
  reboot: 'only a CREATED one can be rebooted',
  pause: 'only a CREATED one can be paused',
  resume: 'only a PAUSED one can be resumed',
};

/** @throws Fault `conflict` while something is under way that the verb cannot join */
function refuseDuring(vm: MicroVm, verb: PowerVerb, ...joins: readonly PowerVerb[]): void {
  if (!vm.asked || joins.includes(vm.asked.for)) return;
  throw new Fault(
    'conflict',
    `Cannot ${verb} microVM ${vm.uid}: another call has begun to ${vm.asked.for} it; try again when that is done`,
  );
}

/** @throws Fault `refused` */
export function refuse(vm: MicroVm, verb: PowerVerb): never {
  const { is, reason, message } = vm.state;
  throw new Fault('refused', `Cannot ${verb} microVM ${vm.uid}: it is ${is} (${reason}): ${message}; ${NEEDS[verb]}`, {
    reason,
  });
}

/** @throws Fault `refused` in a state that forbids it; `conflict` beside a stop or a reboot */
export function starting(vm: MicroVm): MicroVm | undefined {
  const { state } = vm;
  if (state.is === 'PAUSED' || state.is === 'DELETING') refuse(vm, 'start');
  refuseDuring(vm, 'start', 'pause', 'resume'); // it runs
  if (state.is === 'CREATED') return undefined;
  // It waits for nothing, or waits already for what a start would wait for.
  if (state.is === 'PENDING' && state.nextRetryAt === undefined) return undefined;
  const ended = state.is === 'PENDING' ? state.ended : true;
  const { asked: _, lastEnd: __, ...rest } = vm;
  return {
    ...rest,
    retry: 0,
    state: { is: 'PENDING', reason: 'Starting', message: 'Started by a user', ...(ended && { ended }) },
  };
}

/** @throws Fault `refused` in a state that forbids it */
export function stopping(vm: MicroVm, by: Millis): MicroVm | undefined {
  const { is } = vm.state;
  if (is === 'FAILED' || is === 'DELETING') refuse(vm, 'stop');
  if (is === 'STOPPED') return undefined;
  // Who is in more of a hurry wins.
  return { ...vm, asked: { for: 'stop', by: vm.asked?.for === 'stop' ? Math.min(by, vm.asked.by) : by } };
}

/** Nothing of it runs any more, as the user wanted. */
export function stopped(vm: MicroVm, how: string, consoleTail: string): MicroVm | undefined {
  if (vm.asked?.for !== 'stop') return undefined;
  const { is } = vm.state;
  if (is === 'DELETING' || is === 'FAILED' || is === 'STOPPED') return undefined;
  const { asked: _, runningSince: __, ...rest } = vm;
  return {
    ...rest,
    state: { is: 'STOPPED', reason: 'Stopped', message: how, consoleTail },
    conditions: vm.conditions.filter(({ type }) => type !== 'Running'),
  };
}

/** @throws Fault `refused` in a state that forbids it; `conflict` beside another verb */
export function rebooting(vm: MicroVm, by: Millis): MicroVm | undefined {
  refuseDuring(vm, 'reboot', 'reboot');
  if (vm.asked) return undefined;
  if (vm.state.is !== 'CREATED') refuse(vm, 'reboot');
  if (vm.state.reason === 'GuestReset') return undefined; // it is being rebooted
  return { ...vm, asked: { for: 'reboot', by } };
}

/** The guest runs again. */
export function rebooted(vm: MicroVm): MicroVm | undefined {
  if (vm.asked?.for !== 'reboot') return undefined;
  const { asked: _, ...rest } = vm;
  return rest;
}

/**
 * Pauses or resumes. It is done once the VMM says so: see `guestSays`.
 * @throws Fault `refused` in a state that forbids it; `conflict` beside another verb
 */
export function turning(vm: MicroVm, verb: AskedOfVmm['for'], since: Millis, by: Millis): MicroVm | undefined {
  const { is } = vm.state;
  if (vm.asked?.for === verb) return undefined;
  if ((is !== 'CREATED' && is !== 'PAUSED') || !hasRun(vm)) refuse(vm, verb);
  refuseDuring(vm, verb);
  if (is === (verb === 'pause' ? 'PAUSED' : 'CREATED')) return undefined;
  return { ...vm, asked: { for: verb, since, by } };
}

/** The VMM does not do it: it is not tried any more, and the guest goes on as it is. */
export function notTurned(vm: MicroVm, verb: AskedOfVmm['for']): MicroVm | undefined {
  if (vm.asked?.for !== verb) return undefined;
  const { asked: _, ...rest } = vm;
  return rest;
}
