import type { GuestReport, InitReport } from './guest-report.ts';
import type { Condition, ConditionType, MicroVm, Millis } from './microvm.ts';
import { oneLine } from './one-line.ts';
import type { Reason } from './reason.ts';

/**
 * What is told of a microVM beside its state. Each answers undefined where there is nothing to change.
 */

export function condition(
  type: ConditionType,
  isTrue: boolean,
  reason: Reason,
  message: string,
  now: Millis,
  unknown = false,
): Condition {
  return { type, status: unknown ? 'Unknown' : isTrue ? 'True' : 'False', reason, message, lastTransitionAt: now };
}

/** Replaces the condition of that type; the time stays where the status does. */
export function withCondition(old: readonly Condition[], next: Condition): readonly Condition[] {
  const before = old.find((c) => c.type === next.type);
  const kept = before?.status === next.status ? { ...next, lastTransitionAt: before.lastTransitionAt } : next;
  return before ? old.map((c) => (c.type === next.type ? kept : c)) : [...old, kept];
}

/** What somebody says of a microVM by one condition; the same again changes nothing. */
export function reported(
  vm: MicroVm,
  type: ConditionType,
  { status, reason, message }: Pick<Condition, 'status' | 'reason' | 'message'>,
  now: Millis,
): MicroVm | undefined {
  if (vm.state.is === 'DELETING') return undefined;
  const before = vm.conditions.find((one) => one.type === type);
  if (before?.status === status && before.message === message) return undefined;
  return {
    ...vm,
    conditions: withCondition(vm.conditions, { type, status, reason, message, lastTransitionAt: now }),
  };
}

/** What the guest says of itself. It changes one condition, and nothing that is decided by. */
export const guestReports = (vm: MicroVm, report: GuestReport, now: Millis): MicroVm | undefined =>
  reported(vm, 'GuestConfigured', report, now);

/** Another init than the first one that its root names, or no more: said at each boot. */
export function guestInit(vm: MicroVm, init: InitReport, now: Millis): MicroVm | undefined {
  if (vm.state.is === 'DELETING') return undefined;
  const before = vm.conditions.find(({ type }) => type === 'GuestInit');
  if (init.isPlain) return before && { ...vm, conditions: vm.conditions.filter((one) => one !== before) };
  const { message } = init;
  if (before?.message === message) return undefined;
  const next: Condition = {
    type: 'GuestInit',
    status: 'True',
    reason: 'InitPassedOver',
    message,
    lastTransitionAt: now,
  };
  return { ...vm, conditions: withCondition(vm.conditions, next) };
}

/** The guest gave up and waits for somebody at its console; without a message it boots anew. */
export function guestGaveUp(vm: MicroVm, message: string | undefined, now: Millis): MicroVm | undefined {
  if (vm.state.is === 'DELETING') return undefined;
  const before = vm.conditions.find(({ type }) => type === 'GuestInit');
  if (message === undefined)
    return before?.reason === 'EmergencyShell'
      ? { ...vm, conditions: vm.conditions.filter((one) => one !== before) }
      : undefined;
  if (before?.message === message) return undefined;
  const next: Condition = {
    ...{ type: 'GuestInit', status: 'False', reason: 'EmergencyShell', message: oneLine(message) },
    lastTransitionAt: now,
  };
  return { ...vm, conditions: withCondition(vm.conditions, next) };
}

/** What its VMM does not tell of a guest's power. @param untold - with what a user can do; absent: it tells all */
export function powerSeen(vm: MicroVm, untold: string | undefined, now: Millis): MicroVm | undefined {
  if (vm.state.is === 'DELETING') return undefined;
  const before = vm.conditions.find(({ type }) => type === 'PowerStateVisible');
  if (before?.message === untold) return undefined;
  if (untold === undefined) return { ...vm, conditions: vm.conditions.filter((one) => one !== before) };
  const told = condition('PowerStateVisible', false, 'PowerStateUntold', untold, now);
  return { ...vm, conditions: withCondition(vm.conditions, told) };
}

/** What its VMM does not tell of its power the agent in it tells. */
export const powerSeenByAgent = (vm: MicroVm, now: Millis): MicroVm | undefined =>
  reported(
    vm,
    'PowerStateVisible',
    { status: 'True', reason: 'AgentAnswers', message: 'The guest agent tells when the guest shuts down' },
    now,
  );

/** Something is wrong with the network of a guest that runs. */
export function networkTroubled(vm: MicroVm, reason: Reason, message: string, now: Millis): MicroVm | undefined {
  if (vm.state.is !== 'CREATED' && vm.state.is !== 'PAUSED') return undefined;
  const ready = vm.conditions.find((c) => c.type === 'NetworkReady');
  if (ready?.status === 'False' && ready.reason === reason && ready.message === message) return undefined;
  const told = condition('NetworkReady', false, reason, message, now);
  return { ...vm, conditions: withCondition(vm.conditions, told) };
}

/** What was wrong with its network is right again, or the guest was started anew without it. */
export function networkWell(vm: MicroVm, now: Millis): MicroVm | undefined {
  const ready = vm.conditions.find((c) => c.type === 'NetworkReady');
  if (ready?.status !== 'False' || (ready.reason !== 'NetworkFailed' && ready.reason !== 'NetworkBlocked'))
    return undefined;
  return { ...vm, conditions: withCondition(vm.conditions, condition('NetworkReady', true, 'Preparing', 'Made', now)) };
}

/** A guest asks for more than its share of something: what is over it is dropped, the rest goes on. */
export function shareExceeded(vm: MicroVm, message: string, now: Millis): MicroVm | undefined {
  const ready = vm.conditions.find((c) => c.type === 'NetworkReady');
  if (ready?.status !== 'True' || ready.message === message) return undefined;
  return {
    ...vm,
    conditions: withCondition(vm.conditions, condition('NetworkReady', true, 'ShareExceeded', message, now)),
  };
}

/** It keeps within its shares again. */
export function sharesKept(vm: MicroVm, now: Millis): MicroVm | undefined {
  if (!vm.conditions.some((c) => c.type === 'NetworkReady' && c.reason === 'ShareExceeded')) return undefined;
  return { ...vm, conditions: withCondition(vm.conditions, condition('NetworkReady', true, 'Preparing', 'Made', now)) };
}
