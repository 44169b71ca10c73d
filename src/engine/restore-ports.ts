import type { LedgerEntry, VmStepKind } from '../domain/ledger.ts';
import type { Ledger } from '../ports/ledger.ts';
import type {
  GuardIntent,
  MetadataPaths,
  MetadataPortIntent,
  Network,
  PortGuards,
  Publisher,
  PublishIntent,
  TapIntent,
} from '../ports/network.ts';

type Ports = Pick<Network, 'addTap' | 'removeTap'> &
  Pick<PortGuards, 'addGuard' | 'removeGuard'> &
  Partial<Publisher> &
  Partial<MetadataPaths>;

/**
 * Makes again what microVMs have of the host's network, after bridge or tables
 * were swept away: guards before taps, so that nothing passes unguarded. What
 * fails of one microVM keeps none of the others.
 *
 * @throws the first failure, when all others are made; the signal's reason
 */
export async function restorePorts(
  { ledger, network }: { readonly ledger: Ledger; readonly network: Ports },
  signal: AbortSignal,
): Promise<void> {
  const failures: unknown[] = [];
  const again = async <I>(
    kind: VmStepKind,
    add: ((intent: I, signal: AbortSignal) => Promise<unknown>) | undefined,
    remove: ((intent: I, signal: AbortSignal) => Promise<void>) | undefined,
  ): Promise<void> => {
    for (const entry of ledger.ofKind(kind)) {
      if (!isMade(ledger, entry)) continue;
      try {
        await add?.(entry.intent as unknown as I, signal);
        // Its microVM was deleted meanwhile, and the removal may have come before.
        if (!isMade(ledger, entry)) await remove?.(entry.intent as unknown as I, signal);
      } catch (error) {
        signal.throwIfAborted();
        failures.push(error);
      }
    }
  };
  await again<GuardIntent>('guard', network.addGuard, network.removeGuard);
  await again<TapIntent>('tap', network.addTap, network.removeTap);
  await again<PublishIntent>('publish', network.addPorts, network.removePorts);
  await again<MetadataPortIntent>('metadata', network.addMetadataPort, network.removeMetadataPort);
  if (failures.length > 0) throw failures[0];
}

const isMade = (ledger: Ledger, { owner, kind, key }: LedgerEntry): boolean =>
  ledger.find(owner, kind, key)?.made === true;
