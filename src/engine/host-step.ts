import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import { HOST_OWNER, HOST_STEP_KINDS, type HostStepKind, type IntentOf, type LedgerEntry } from '../domain/ledger.ts';
import type { FaultPoints } from '../ports/fault-points.ts';
import type { Ledger } from '../ports/ledger.ts';
import { hostSteps } from '../steps/registry.ts';
import type { HostStepPorts } from '../steps/step.ts';

export interface HostStepDeps {
  readonly ledger: Ledger;
  readonly network: HostStepPorts;
  readonly faults: FaultPoints;
}

/**
 * Makes one thing of the host's network: written down first, made, marked.
 * @param intent - of one that the ledger does not have yet
 * @throws Fault `timeout`
 */
export async function makeHostStep<K extends HostStepKind>(
  { ledger, network, faults }: HostStepDeps,
  kind: K,
  intent: IntentOf<K>,
  signal: AbortSignal,
): Promise<void> {
  const entry = ledger.intend(HOST_OWNER, kind, '', intent);
  const { make } = hostSteps[kind];
  const timeoutMs = faults.limitMs(kind, 'make', hostSteps[kind].timeoutMs);
  using limit = new TimeLimit(signal, timeoutMs);
  const limited = limit.signal;
  try {
    // Also when it is marked: another boot may have swept it away, and twice is the same as once.
    const act = () => make(entry.intent, network, limited);
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
export async function unmakeHostStep<K extends HostStepKind>(
  { ledger, network, faults }: HostStepDeps,
  entry: LedgerEntry<K>,
  signal: AbortSignal,
): Promise<void> {
  const { kind } = entry;
  const { unmake, timeoutMs } = hostSteps[kind];
  using limit = new TimeLimit(signal, faults.limitMs(kind, 'unmake', timeoutMs));
  const limited = limit.signal;
  await faults.act(kind, 'unmake', () => unmake(entry.intent, network, limited), limited);
  ledger.strike(entry);
  faults.marked(kind, 'unmake');
}

/** Removes the network, newest first. Used with no microVM left. */
export async function teardownNetwork(deps: HostStepDeps, signal: AbortSignal): Promise<void> {
  for (const entry of deps.ledger.of(HOST_OWNER).filter(isHostEntry).toReversed())
    await unmakeHostStep(deps, entry, signal);
}

const isHostEntry = (entry: LedgerEntry): entry is LedgerEntry<HostStepKind> =>
  HOST_STEP_KINDS.some((kind) => kind === entry.kind);
