import type { GuestStatistics, StatisticsWanted } from '../ports/guest-statistics.ts';
import { agentFor, cutOff, type ExecNeeds } from './exec.ts';

/**
 * What a guest tells of itself, by its agent, as long as the caller reads it.
 *
 * @throws Fault `refused` where there is no agent to do it; `tool` when it, or the guest, goes away
 */
export async function* statistics(
  needs: ExecNeeds,
  uid: string,
  wanted: StatisticsWanted,
  signal: AbortSignal,
): AsyncIterable<GuestStatistics> {
  const { vm, agent } = await agentFor(needs, uid, signal);
  try {
    yield* agent.statistics(wanted, signal);
  } catch (error) {
    throw cutOff(needs, vm, `The statistics of microVM ${uid} broke off`, error);
  }
}
