import { Fault } from '../domain/fault.ts';
import { HOST_OWNER, HOST_STEP_KINDS, type HostStepKind, type IntentOf, type LedgerEntry } from '../domain/ledger.ts';
import type { Act, Acts, Way } from '../ports/acts.ts';
import type { Ledger } from '../ports/ledger.ts';
import { hostSteps } from '../steps/registry.ts';
import type { HostStepPorts } from '../steps/step.ts';

export interface HostStepDeps {
  readonly ledger: Ledger;
  readonly network: HostStepPorts;
  readonly acts: Acts;
}

/**
 * Makes one thing of the host's network: written down first, made, marked.
 * @param intent - of one that the ledger does not have yet
 * @throws Fault `timeout`
 */
export async function makeHostStep<K extends HostStepKind>(
  { ledger, network, acts }: HostStepDeps,
  kind: K,
  intent: IntentOf<K>,
  signal: AbortSignal,
): Promise<void> {
  const entry = ledger.intend(HOST_OWNER, kind, '', intent);
  const { make } = hostSteps[kind];
  const act = actOf(kind, 'make', signal);
  // Also when it is marked: another boot may have swept it away, and twice is the same as once.
  await acts.run(act, (limited) => make(entry.intent, network, limited));
  if (!entry.made) ledger.made(entry, null);
  acts.marked(act);
}

/** Removes one thing of the host's network, and strikes it out. */
export async function unmakeHostStep<K extends HostStepKind>(
  { ledger, network, acts }: HostStepDeps,
  entry: LedgerEntry<K>,
  signal: AbortSignal,
): Promise<void> {
  const { kind } = entry;
  const { unmake } = hostSteps[kind];
  const act = actOf(kind, 'unmake', signal);
  await acts.run(act, (limited) => unmake(entry.intent, network, limited));
  ledger.strike(entry);
  acts.marked(act);
}

function actOf(kind: HostStepKind, way: Way, signal: AbortSignal): Act {
  const done = way === 'make' ? 'made' : 'removed';
  const late = (ms: number, cause: unknown): Fault =>
    new Fault('timeout', `The network's ${kind} was not ${done} in ${ms / 1000} s`, { cause, reason: 'NetworkFailed' });
  return { kind, way, signal, limit: { ms: hostSteps[kind].timeoutMs, late } };
}

/** Removes the network, newest first. Used with no microVM left. */
export async function teardownNetwork(deps: HostStepDeps, signal: AbortSignal): Promise<void> {
  for (const entry of deps.ledger.of(HOST_OWNER).filter(isHostEntry).toReversed())
    await unmakeHostStep(deps, entry, signal);
}

const isHostEntry = (entry: LedgerEntry): entry is LedgerEntry<HostStepKind> =>
  HOST_STEP_KINDS.some((kind) => kind === entry.kind);
