import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import { HOST_OWNER, type Json, type LedgerEntry } from '../domain/ledger.ts';
import type { FaultPoints } from '../ports/fault-points.ts';
import type { Ledger } from '../ports/ledger.ts';
import { type HostStepIntents, type HostStepKind, type HostStepPorts, hostSteps } from '../steps/host-network.ts';

export interface HostStepDeps {
  readonly ledger: Ledger;
  readonly network: HostStepPorts;
  readonly faults: FaultPoints;
}

/**
 * Makes one thing of the host's network: written down first, made, marked.
 * @param intent - undefined where the ledger has one
 * @throws Fault `timeout`
 */
export async function makeHostStep<K extends HostStepKind>(
  { ledger, network, faults }: HostStepDeps,
  kind: K,
  intent: HostStepIntents[K] | undefined,
  signal: AbortSignal,
): Promise<void> {
  const entry = ledger.intend(HOST_OWNER, kind, '', (intent ?? null) as Json);
  const { make } = hostSteps[kind];
  const timeoutMs = faults.limitMs(kind, 'make', hostSteps[kind].timeoutMs);
  using limit = new TimeLimit(signal, timeoutMs);
  const limited = limit.signal;
  try {
    // Also when it is marked: another boot may have swept it away, and twice is the same as once.
    const act = () => make(entry.intent as unknown as HostStepIntents[K], network, limited);
    await faults.act(kind, 'make', act, limited);
  } catch (cause) {
    if (cause instanceof Fault || !limited.aborted || signal.aborted) throw cause;
    throw new Fault('timeout', `The network's ${kind} was not made in ${timeoutMs / 1000} s`, {
      cause,
      reason: 'NetworkFailed',
    });
  }
  if (!entry.made) ledger.made(entry, null);
  faults.marked(kind, 'make');
}

/** Removes one thing of the host's network, and strikes it out. */
export async function unmakeHostStep(
  { ledger, network, faults }: HostStepDeps,
  entry: LedgerEntry,
  signal: AbortSignal,
): Promise<void> {
  const kind = entry.kind as HostStepKind;
  const { unmake, timeoutMs } = hostSteps[kind];
  using limit = new TimeLimit(signal, faults.limitMs(kind, 'unmake', timeoutMs));
  const limited = limit.signal;
  await faults.act(kind, 'unmake', () => unmake(entry.intent as never, network, limited), limited);
  ledger.strike(entry);
  faults.marked(kind, 'unmake');
}

/** Removes the network, newest first. Used with no microVM left. */
export async function teardownNetwork(deps: HostStepDeps, signal: AbortSignal): Promise<void> {
  for (const entry of deps.ledger.of(HOST_OWNER).toReversed()) await unmakeHostStep(deps, entry, signal);
}
