import { ATTEMPT_BACKOFF } from './attempts.ts';
import type { MicroVm, Millis } from './microvm.ts';
import type { Reason } from './reason.ts';

/** How a run ended. */
export interface End {
  readonly reason: Reason;
  /** A sentence. */
  readonly message: string;
  /** The guest reset its machine, at which its VMM ends: on others its run would go on. */
  readonly isReset?: true;
  /** Of the program that the guest was begun for. */
  readonly exitStatus?: number;
}

/** A guest that resets itself more often within that time is in a loop: a reboot in order takes longer. */
const RESET_LOOP = { most: 5, withinMs: 60_000 };
/** So long a guest that reset itself is said to be CREATED while its VMM is started again: that takes less than a second. */
export const RESET_SHOWN_MS = 2_000;

/** The resets that count, with one more now. */
export const oneResetMore = ({ resets = [] }: Pick<MicroVm, 'resets'>, now: Millis): readonly Millis[] => [
  ...resets.filter((at) => at <= now && now - at < RESET_LOOP.withinMs),
  now,
];

/**
 * Whether a guest resets itself for ever. Once it does, each reset is a death, until it has run for a while.
 * @param resets - lately, with the last one
 */
export const isResetLoop = ({ lastEnd }: Pick<MicroVm, 'lastEnd'>, resets: readonly Millis[]): boolean =>
  resets.length > RESET_LOOP.most || lastEnd?.reason === 'CrashLoop';

export const resetLoop = (resets: readonly Millis[]): End => ({
  reason: 'CrashLoop',
  message: `The guest reset itself ${resets.length} times within a minute, which is a loop`,
});

/**
 * A guest that has run for so long without an end is steady: its deaths are
 * counted from 0 again. Twice the longest back-off, so that what dies as soon
 * as it may is never taken for steady.
 */
export const STEADY_MS = 2 * ATTEMPT_BACKOFF.maxMs;

/** Whether its guest has ever run. A record of an earlier version shows it by its state alone. */
export const hasRun = ({ hasRun: told, state }: Pick<MicroVm, 'hasRun' | 'state'>): boolean =>
  told === true || state.is === 'CREATED' || state.is === 'PAUSED';

/** When this run counts as steady; undefined: it does not run, or nothing is counted. */
export function steadyAt({ retry, lastEnd, runningSince }: MicroVm): Millis | undefined {
  const isCounted = retry > 0 || lastEnd !== undefined;
  return isCounted && runningSince !== undefined ? runningSince + STEADY_MS : undefined;
}

export type AfterEnd = 'again' | 'stopped' | 'failed';

/**
 * What follows the end of a run that nobody asked for: by `restart_policy`
 * for a guest that has run once, else by the attempts that a create has.
 *
 * @param attempt - this end and those before it, from 1
 */
export function afterEnd(
  vm: MicroVm,
  { reason, exitStatus = 0 }: End,
  attempt: number,
  maximumRetry: number,
): AfterEnd {
  const { restartPolicy } = vm.spec;
  const isClean = reason === 'GuestShutdown';
  // A program that failed is a failure to be tried again, though its guest ended in order.
  const isDone = isClean && exitStatus === 0;
  if (restartPolicy === 'NEVER' || (isDone && restartPolicy === 'ON_FAILURE')) return isClean ? 'stopped' : 'failed';
  return hasRun(vm) || attempt < maximumRetry ? 'again' : 'failed';
}

/** What is told while the next start is waited for. The end itself stays to be read. */
export function waitingAfter(vm: MicroVm, { reason, message }: End, attempt: number): End {
  const policy = `restart_policy ${vm.spec.restartPolicy}`;
  if (attempt === 1) return { reason, message: `${message}. It is started again (${policy})` };
  return {
    reason: 'CrashLoop',
    message: `Ended ${attempt} times, never after ${STEADY_MS / 60_000} minutes of running; the last time ${reason}: ${message}. It is started again, later each time (${policy}): its console says more`,
  };
}
