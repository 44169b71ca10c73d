import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { clockRight } from '../domain/transitions.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

/** An agent sets a clock at once. */
const SET_MS = 10_000;

/**
 * Has the agent of a guest set its clock, where that is known to be behind: its CPU stood still. One that cannot is left as
 * it is, and so is what is told of it.
 */
export async function setClockOf(
  uid: Uid,
  agent: GuestAgent,
  { store, log }: { readonly store: Store; readonly log: Log },
  signal: AbortSignal,
): Promise<void> {
  if (!agent.setClock || store.get(uid)?.clockBehindMs === undefined) return;
  try {
    using limit = new TimeLimit(signal, SET_MS);
    const behindMs = await agent.setClock(limit.signal);
    store.update(uid, clockRight);
    log.info("a guest's clock was set", { uid, behindMs });
  } catch (error) {
    if (signal.aborted) return;
    // What it refuses is told by what is said of its clock.
    const isTold = error instanceof Fault && error.kind === 'refused';
    log[isTold ? 'debug' : 'warn']("a guest's clock cannot be set", { uid, error });
  }
}
