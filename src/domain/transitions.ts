import type { Fault } from './fault.ts';
import type { Condition, ConditionType, Made, MicroVm, Millis, State } from './microvm.ts';
import type { Reason } from './reason.ts';

/**
 * Every change of a record's state is one of these. Each answers undefined
 * where the state does not allow it: so a late report never undoes a delete.
 */

/** A delete was accepted. A second one changes nothing. */
export function deleting(vm: MicroVm, now: Millis): MicroVm | undefined {
  if (vm.state.is === 'DELETING') return undefined;
  const { is, reason, message } = vm.state;
  const state: State = {
    is: 'DELETING',
    reason: 'Deleting',
    message: 'Being deleted',
    was: `${is} (${reason}): ${message}`,
    ...('consoleTail' in vm.state && { consoleTail: vm.state.consoleTail }),
  };
  return { ...vm, deletedAt: now, state, retry: 0 };
}

/** The work goes on: what a new step found out is kept, and what it waits for is said. */
export function preparing(vm: MicroVm, reason: Reason, message: string): MicroVm | undefined {
  if (vm.state.is !== 'PENDING') return undefined;
  if (vm.state.reason === reason && vm.state.nextRetryAt === undefined) return undefined;
  return { ...vm, state: { is: 'PENDING', reason, message } };
}

/** A step is done. */
export function madeMore(vm: MicroVm, made: (old: Made) => Made, condition: Condition | undefined): MicroVm {
  return { ...vm, made: made(vm.made), ...(condition && { conditions: withCondition(vm.conditions, condition) }) };
}

/** What the VMM says of the guest, while it is watched. */
export function guestSays(
  vm: MicroVm,
  guest: 'running' | 'paused' | 'held' | 'unreachable',
  now: Millis,
): MicroVm | undefined {
  if (vm.state.is !== 'PENDING' && vm.state.is !== 'CREATED' && vm.state.is !== 'PAUSED') return undefined;
  const state = stateOfGuest(guest);
  if (vm.state.is === state.is && vm.state.reason === state.reason) return undefined;
  const running = condition('Running', guest === 'running', state.reason, state.message, now, guest === 'unreachable');
  return { ...vm, state, retry: 0, conditions: withCondition(vm.conditions, running) };
}

function stateOfGuest(guest: 'running' | 'paused' | 'held' | 'unreachable'): State {
  switch (guest) {
    case 'running':
      return { is: 'CREATED', reason: 'Running', message: 'The guest runs' };
    case 'paused':
      return { is: 'PAUSED', reason: 'Paused', message: 'The guest is paused' };
    case 'held':
      return {
        is: 'PENDING',
        reason: 'StorageFull',
        message: "The guest is held because the host's disk is full; it goes on when there is room",
      };
    case 'unreachable':
      return {
        is: 'PENDING',
        reason: 'VmmUnreachable',
        message: 'The VMM does not answer: whether the guest runs is not known',
      };
    default:
      return guest satisfies never;
  }
}

/** The run has ended: the guest powered off, or died. What it holds stays until the delete. */
export function ended(
  vm: MicroVm,
  end: { readonly reason: Reason; readonly message: string },
  consoleTail: string,
  now: Millis,
): MicroVm | undefined {
  if (vm.state.is === 'DELETING' || vm.state.is === 'FAILED' || vm.state.is === 'STOPPED') return undefined;
  const state: State =
    end.reason === 'GuestShutdown'
      ? { is: 'STOPPED', reason: 'GuestShutdown', message: end.message, consoleTail }
      : { is: 'FAILED', reason: end.reason, message: end.message, consoleTail };
  return {
    ...vm,
    state,
    conditions: withCondition(vm.conditions, condition('Running', false, end.reason, end.message, now)),
  };
}

/** An attempt failed and another follows: at `nextRetryAt`. */
export function willRetry(vm: MicroVm, fault: Fault, nextRetryAt: Millis): MicroVm | undefined {
  const reason = fault.reason ?? 'Preparing';
  if (vm.state.is === 'PENDING')
    return { ...vm, retry: vm.retry + 1, state: { is: 'PENDING', reason, message: fault.message, nextRetryAt } };
  if (vm.state.is === 'DELETING')
    return {
      ...vm,
      retry: vm.retry + 1,
      state: { ...vm.state, reason: 'DeleteBlocked', message: fault.message, nextRetryAt },
    };
  return undefined;
}

/** The fault cannot be mended by another attempt, or the attempts are used up. */
export function failed(vm: MicroVm, fault: Fault, consoleTail: string): MicroVm | undefined {
  if (vm.state.is !== 'PENDING') return undefined;
  const reason = fault.reason ?? 'ProviderRefused';
  return { ...vm, retry: vm.retry + 1, state: { is: 'FAILED', reason, message: fault.message, consoleTail } };
}

/** Nothing is left of it. What it was stays to be told. */
export function gone(vm: MicroVm, consoleTail: string, now: Millis): MicroVm {
  const { was, consoleTail: kept = consoleTail } = vm.state.is === 'DELETING' ? vm.state : {};
  const message =
    was === undefined ? 'Nothing is left of it' : `Nothing is left of it; before the delete it was ${was}`;
  const state: State = {
    is: 'DELETING',
    reason: 'Deleted',
    message,
    ...(was !== undefined && { was }),
    consoleTail: kept,
  };
  return { ...vm, goneAt: now, addresses: {}, state };
}

/** The addresses that the guest has taken. */
export function addressed(vm: MicroVm, nic: string, addresses: readonly string[]): MicroVm | undefined {
  const old = vm.addresses[nic] ?? [];
  if (old.length === addresses.length && old.every((a, i) => a === addresses[i])) return undefined;
  return { ...vm, addresses: { ...vm.addresses, [nic]: addresses } };
}

/** A guest that runs has lost an interface, which nobody can give back to it. */
export function nicLost(vm: MicroVm, message: string, now: Millis): MicroVm | undefined {
  if (vm.state.is !== 'CREATED' && vm.state.is !== 'PAUSED') return undefined;
  if (vm.conditions.some((c) => c.type === 'NetworkReady' && c.status === 'False')) return undefined;
  return {
    ...vm,
    conditions: withCondition(vm.conditions, condition('NetworkReady', false, 'NetworkFailed', message, now)),
  };
}

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
function withCondition(old: readonly Condition[], next: Condition): readonly Condition[] {
  const before = old.find((c) => c.type === next.type);
  const kept = before?.status === next.status ? { ...next, lastTransitionAt: before.lastTransitionAt } : next;
  return before ? old.map((c) => (c.type === next.type ? kept : c)) : [...old, kept];
}
