import { endsWithin } from '../base/ends-within.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Clock } from '../ports/clock.ts';
import type { Scheduler } from './scheduler.ts';

/** So many are looked at side by side: between their acts the API has its turn, however many there are. */
const AT_ONCE = 16;
/** One whose look takes longer holds up no other. */
const HOLD_MS = 100;

export interface WakeInTurnDeps {
  readonly scheduler: Pick<Scheduler, 'wake' | 'settled'>;
  readonly clock: Pick<Clock, 'after'>;
}

/**
 * Has many microVMs looked at, a few at a time. Each has its own queue all the same: one that is asked for meanwhile is
 * looked at at once.
 *
 * @returns when each look was begun, and has ended or takes long
 */
export async function wakeInTurn(
  uids: readonly Uid[],
  { scheduler, clock }: WakeInTurnDeps,
  signal: AbortSignal,
): Promise<void> {
  const waiting = uids.values();
  const after: WakeInTurnDeps['clock']['after'] = (ms, call) => clock.after(ms, call);
  const wakeSome = async (): Promise<void> => {
    for (const uid of waiting) {
      if (signal.aborted) return;
      scheduler.wake(uid);
      await endsWithin(HOLD_MS, scheduler.settled([uid]), after);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, wakeSome));
}
