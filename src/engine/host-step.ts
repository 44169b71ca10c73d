import { Fault } from '../domain/fault.ts';
import { HOST_OWNER, type Json } from '../domain/ledger.ts';
import type { Ledger } from '../ports/ledger.ts';
import { type HostStepIntents, type HostStepKind, type HostStepPorts, hostSteps } from '../steps/host-network.ts';

/**
 * Makes one thing of the host's network: written down first, made, marked.
 * @param intent - undefined where the ledger has one
 * @throws Fault `timeout`
 */
export async function makeHostStep<K extends HostStepKind>(
  { ledger, network }: { readonly ledger: Ledger; readonly network: HostStepPorts },
  kind: K,
  intent: HostStepIntents[K] | undefined,
  signal: AbortSignal,
): Promise<void> {
  const entry = ledger.intend(HOST_OWNER, kind, '', (intent ?? null) as Json);
  const { make, timeoutMs } = hostSteps[kind];
  const limited = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    // Also when it is marked: another boot may have swept it away, and twice is the same as once.
    await make(entry.intent as unknown as HostStepIntents[K], network, limited);
  } catch (cause) {
    if (cause instanceof Fault || !limited.aborted || signal.aborted) throw cause;
    throw new Fault('timeout', `The network's ${kind} was not made in ${timeoutMs / 1000} s`, {
      cause,
      reason: 'NetworkFailed',
    });
  }
  if (!entry.made) ledger.made(entry, null);
}

/** Removes the network, newest first. Used with no microVM left. */
export async function teardownNetwork(ledger: Ledger, network: HostStepPorts, signal: AbortSignal): Promise<void> {
  for (const entry of ledger.of(HOST_OWNER).toReversed()) {
    const def = hostSteps[entry.kind as HostStepKind];
    const limited = AbortSignal.any([signal, AbortSignal.timeout(def.timeoutMs)]);
    await def.unmake(entry.intent as never, network, limited);
    ledger.strike(entry);
  }
}
