import { backoffMs } from '../base/backoff.ts';
import { ATTEMPT_BACKOFF } from './attempts.ts';
import { condition, withCondition } from './conditions.ts';
import { exitStatusIn, exitText } from './exit-status.ts';
import type { Fault } from './fault.ts';
import type { LifeReport } from './guest-life.ts';
import type { Condition, LastEnd, Made, MicroVm, Millis, State } from './microvm.ts';
import { oneLine } from './one-line.ts';
import type { Reason } from './reason.ts';
import {
  afterEnd,
  type End,
  hasRun,
  isResetLoop,
  oneResetMore,
  RESET_SHOWN_MS,
  resetLoop,
  steadyAt,
  waitingAfter,
} from './restart.ts';

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
  const { asked: _, ...rest } = vm;
  return { ...rest, deletedAt: now, state, retry: 0 };
}

/** The work goes on: what a new step found out is kept, and what it waits for is said. */
export function preparing(vm: MicroVm, reason: Reason, message: string): MicroVm | undefined {
  if (vm.state.is !== 'PENDING') return undefined;
  if (vm.state.reason === reason && vm.state.nextRetryAt === undefined) return undefined;
  return { ...vm, state: { is: 'PENDING', reason, message: `${message}${againAfter(vm.lastEnd)}` } };
}

/** A step is done. */
export function madeMore(vm: MicroVm, made: (old: Made) => Made, condition: Condition | undefined): MicroVm {
  return { ...vm, made: made(vm.made), ...(condition && { conditions: withCondition(vm.conditions, condition) }) };
}

/** What the VMM says of the guest, while it is watched. A pause or a resume that it tells of is done. */
export function guestSays(
  vm: MicroVm,
  guest: 'running' | 'paused' | 'held' | 'unreachable',
  now: Millis,
): MicroVm | undefined {
  if (vm.state.is !== 'PENDING' && vm.state.is !== 'CREATED' && vm.state.is !== 'PAUSED') return undefined;
  if (hasEnded(vm.state)) return undefined; // of the run before
  const clockBehindMs = (vm.clockBehindMs ?? 0) + (guest === 'running' ? stoodStill(vm, now) : 0);
  const state = stateOfGuest(guest, { ...vm, clockBehindMs });
  const isDone = vm.asked !== undefined && vm.asked.for === DONE_BY[guest];
  if (vm.state.is === state.is && vm.state.reason === state.reason && !isDone) return undefined;
  const running = condition('Running', guest === 'running', state.reason, state.message, now, guest === 'unreachable');
  const { asked, ...rest } = vm;
  const next: MicroVm = {
    ...rest,
    ...(asked && !isDone && { asked }),
    state,
    conditions: withCondition(vm.conditions, running),
    ...(clockBehindMs > 0 && { clockBehindMs }),
  };
  if (guest !== 'running') return next;
  // The attempts to create are over; deaths are counted until it has run for a while.
  return { ...next, retry: hasRun(vm) ? vm.retry : 0, hasRun: true, runningSince: vm.runningSince ?? now };
}

/** A run has ended and that is told. */
const hasEnded = (state: State): boolean => 'ended' in state && state.ended === true;

/** What of a user's wishes is fulfilled when a guest is so. */
const DONE_BY = { running: 'resume', paused: 'pause', held: undefined, unreachable: undefined } as const;

function stateOfGuest(
  guest: 'running' | 'paused' | 'held' | 'unreachable',
  vm: Pick<MicroVm, 'lastEnd' | 'conditions' | 'clockBehindMs'>,
): State {
  switch (guest) {
    case 'running':
      return { is: 'CREATED', reason: 'Running', message: runningText(vm) };
    case 'paused':
      return { is: 'PAUSED', reason: 'Paused', message: 'The guest is paused, and its clock stands still' };
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

/** For how long the CPU of a guest that runs again has stood still: it was paused, or held for want of disk. */
function stoodStill({ state, conditions }: MicroVm, now: Millis): Millis {
  const isStill = state.is === 'PAUSED' || (state.is === 'PENDING' && state.reason === 'StorageFull');
  const running = conditions.find(({ type }) => type === 'Running');
  return isStill && running?.status === 'False' ? Math.max(0, now - running.lastTransitionAt) : 0;
}

/** Of less a user need not be told: a guest's own clock is no better. */
const CLOCK_TOLD_MS = 1_000;

function runningText({
  lastEnd,
  conditions,
  clockBehindMs = 0,
}: Pick<MicroVm, 'lastEnd' | 'conditions' | 'clockBehindMs'>): string {
  const life = conditions.find(({ type }) => type === 'GuestAlive');
  if (life?.status === 'False') return `No sign of life of the guest${againAfter(lastEnd)}: ${life.message}`;
  const clock =
    clockBehindMs < CLOCK_TOLD_MS
      ? ''
      : `; its clock is ${Math.round(clockBehindMs / 1000)} s behind, which is how long its CPU stood still: only the guest can set it, by NTP, date -s or a reboot`;
  return `The guest runs${againAfter(lastEnd)}${clock}`;
}

const isSaidToRun = ({ is, reason }: State): boolean => is === 'CREATED' && reason === 'Running';

/** The guest's clock is right: it boots anew in place, and its kernel reads the time anew, or it was set. */
export function clockRight(vm: MicroVm): MicroVm | undefined {
  if (vm.clockBehindMs === undefined) return undefined;
  const { clockBehindMs: _, ...rest } = vm;
  return { ...rest, ...(isSaidToRun(vm.state) && { state: stateOfGuest('running', rest) }) };
}

/** For "The guest runs …" and "The VMM is being started …". */
const againAfter = (lastEnd: LastEnd | undefined): string =>
  lastEnd ? ` again, after ${lastEnd.reason}: ${lastEnd.message}` : '';

/** What was seen of the guest from outside. Where nothing is, the state's message says so too. */
export function guestLives(vm: MicroVm, { status, reason, message }: LifeReport, now: Millis): MicroVm | undefined {
  if (vm.state.is === 'DELETING') return undefined;
  const before = vm.conditions.find(({ type }) => type === 'GuestAlive');
  if (before?.status === status && before.message === message) return undefined;
  const next: Condition = { type: 'GuestAlive', status, reason, message, lastTransitionAt: now };
  const conditions = withCondition(vm.conditions, next);
  const isToldInState = isSaidToRun(vm.state) && (status === 'False' || before?.status === 'False');
  return { ...vm, conditions, ...(isToldInState && { state: stateOfGuest('running', { ...vm, conditions }) }) };
}

/** It has run for long enough: what came before is over. */
export function steady(vm: MicroVm, now: Millis): MicroVm | undefined {
  const at = steadyAt(vm);
  if (at === undefined || now < at) return undefined;
  const { lastEnd: _, ...rest } = vm;
  return {
    ...rest,
    retry: 0,
    ...(isSaidToRun(vm.state) && { state: stateOfGuest('running', rest) }),
  };
}

/** What is needed to judge the end of a run. */
export interface Judged {
  readonly consoleTail: string;
  readonly now: Millis;
  /** At least 0, below 1. */
  readonly random: number;
  /** Attempts to create. */
  readonly maximumRetry: number;
}

/** The run has ended: the guest powered off, or died. What follows is the policy's to say, or the user's who asked for it. */
export function ended(vm: MicroVm, end: End, judged: Judged): MicroVm | undefined {
  const { consoleTail, now, random, maximumRetry } = judged;
  const { is } = vm.state;
  if (is === 'DELETING' || is === 'FAILED' || is === 'STOPPED') return undefined;
  if (hasEnded(vm.state)) return undefined; // told already
  if (end.isReset && asksForNoEnd(vm)) {
    const resets = oneResetMore(vm, now);
    if (!isResetLoop(vm, resets)) return reset(vm, oneLine(end.message), resets, now);
    return ended({ ...vm, resets }, resetLoop(resets), judged);
  }
  const { reason } = end;
  const exitStatus = reason === 'GuestShutdown' ? exitStatusIn(consoleTail) : undefined;
  const how = exitStatus === undefined ? '' : `; its program ended ${exitText(exitStatus)}`;
  const message = `${oneLine(end.message)}${how}`;
  const { runningSince: _, clockBehindMs: _behind, asked, ...rest } = steady(vm, now) ?? vm;
  const after = (state: State, retry = rest.retry): MicroVm => ({
    ...rest,
    retry,
    state,
    lastEnd: { reason, message, consoleTail, at: now, ...(exitStatus !== undefined && { exitStatus }) },
    // Of an agent that a guest had, and how it was, the next run knows nothing.
    conditions: withCondition(
      vm.conditions.filter(({ type }) => type !== 'AgentReady' && (type !== 'Healthy' || reason === 'Unhealthy')),
      condition('Running', false, reason, message, now),
    ),
  });
  if (asked?.for === 'stop')
    return after({ is: 'STOPPED', reason: 'Stopped', message: `Stopped by a user. ${message}`, consoleTail });
  if (asked?.for === 'reboot')
    return after({ is: 'PENDING', reason: 'Starting', message: 'Being rebooted', ended: true });
  const attempt = rest.retry + 1;
  const judgedEnd: End = { reason, message, ...(exitStatus !== undefined && { exitStatus }) };
  switch (afterEnd(vm, judgedEnd, attempt, maximumRetry)) {
    case 'stopped':
      return after({ is: 'STOPPED', reason: 'GuestShutdown', message, consoleTail });
    case 'failed':
      return after({ is: 'FAILED', reason, message, consoleTail });
    default: {
      const nextRetryAt = now + backoffMs(attempt, random, ATTEMPT_BACKOFF);
      return after({ is: 'PENDING', ...waitingAfter(vm, judgedEnd, attempt), nextRetryAt, ended: true }, attempt);
    }
  }
}

const asksForNoEnd = ({ asked }: MicroVm): boolean => asked?.for !== 'stop' && asked?.for !== 'reboot';

/** The guest reset its machine, as it may: its VMM is started again at once, and neither policy nor count of deaths has to do with it. */
function reset(vm: MicroVm, message: string, resets: readonly Millis[], now: Millis): MicroVm {
  const { clockBehindMs: _, ...rest } = vm;
  const again = `${message}. It is started again`;
  return {
    ...rest,
    resets,
    state:
      vm.state.is === 'PENDING'
        ? { is: 'PENDING', reason: 'Starting', message: again, ended: true }
        : { is: 'CREATED', reason: 'GuestReset', message: again, until: now + RESET_SHOWN_MS, ended: true },
    conditions: withCondition(vm.conditions, condition('Running', false, 'GuestReset', message, now)),
  };
}

/** A guest that reset its machine does not run again as soon as it should, or something else is to be done first. */
export function stillNotAgain(vm: MicroVm): MicroVm | undefined {
  if (vm.state.is !== 'CREATED' || vm.state.reason !== 'GuestReset') return undefined;
  const { message } = vm.state;
  const state: State = { is: 'PENDING', reason: 'Starting', message };
  return { ...vm, state: hasEnded(vm.state) ? { ...state, ended: true } : state };
}

/** What the last run held is let go: the next may begin, when it is time. */
export function clearedAway(vm: MicroVm): MicroVm | undefined {
  if ((vm.state.is !== 'PENDING' && vm.state.reason !== 'GuestReset') || !('ended' in vm.state)) return undefined;
  const { ended: _, ...state } = vm.state;
  return { ...vm, state };
}

/** An attempt failed and another follows: at `nextRetryAt`. */
export function willRetry(given: MicroVm, fault: Fault, nextRetryAt: Millis): MicroVm | undefined {
  const vm = stillNotAgain(given) ?? given;
  const reason = fault.reason ?? 'Preparing';
  if (vm.state.is === 'PENDING')
    return {
      ...vm,
      retry: vm.retry + 1,
      state: {
        is: 'PENDING',
        reason,
        message: oneLine(fault.message),
        nextRetryAt,
        ...(vm.state.ended && { ended: true as const }),
      },
    };
  if (vm.state.is === 'DELETING')
    return {
      ...vm,
      retry: vm.retry + 1,
      state: { ...vm.state, reason: 'DeleteBlocked', message: oneLine(fault.message), nextRetryAt },
    };
  return undefined;
}

/** The fault cannot be mended by another attempt, or the attempts are used up. */
export function failed(vm: MicroVm, fault: Fault, consoleTail: string): MicroVm | undefined {
  if (vm.state.is !== 'PENDING') return undefined;
  const reason = fault.reason ?? 'ProviderRefused';
  return { ...vm, retry: vm.retry + 1, state: { is: 'FAILED', reason, message: oneLine(fault.message), consoleTail } };
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

/**
 * What was made for it is not known: it is left as it is, and neither said to run nor to be gone. Told where it is seen
 * whatever its state, until it can be read again.
 */
export function ledgerUnread(vm: MicroVm, message: string, now: Millis): MicroVm | undefined {
  const before = vm.conditions.find(({ type }) => type === 'LedgerReadable');
  const state = stateUnread(vm.state, message);
  if (before?.message === message && state.reason === vm.state.reason && state.message === vm.state.message)
    return undefined;
  const told = condition('LedgerReadable', false, 'LedgerUnreadable', message, now);
  return { ...vm, state, conditions: withCondition(vm.conditions, told) };
}

function stateUnread(state: State, message: string): State {
  switch (state.is) {
    case 'PENDING': {
      const { nextRetryAt: _, ...rest } = state;
      return { ...rest, reason: 'LedgerUnreadable', message };
    }
    case 'CREATED':
    case 'PAUSED':
      return { is: 'PENDING', reason: 'LedgerUnreadable', message };
    case 'DELETING': {
      const { nextRetryAt: _, ...rest } = state;
      return { ...rest, reason: 'DeleteBlocked', message };
    }
    case 'STOPPED':
    case 'FAILED':
      return state;
    default:
      return state satisfies never;
  }
}

/** Its rows can be read: by another program, or since they were mended. */
export function ledgerRead(vm: MicroVm): MicroVm | undefined {
  if (!vm.conditions.some(({ type }) => type === 'LedgerReadable')) return undefined;
  return { ...vm, conditions: vm.conditions.filter(({ type }) => type !== 'LedgerReadable') };
}
