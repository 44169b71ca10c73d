import type { IntentOf, LedgerEntry, VmStepKind } from '../domain/ledger.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Macvtaps, MetadataPaths, Network, PortGuards, Publisher } from '../ports/network.ts';

type Ports = Pick<Network, 'addTap' | 'removeTap' | 'addLease' | 'removeLease'> &
  Pick<PortGuards, 'addGuard' | 'removeGuard'> &
  Partial<Publisher> &
  Partial<MetadataPaths>;

/**
 * Makes again what microVMs have of the host's network, after bridge or tables
 * were swept away: guards before taps, so that nothing passes unguarded. What
 * fails of one microVM keeps none of the others.
 *
 * @param isWanted - which bridges' taps
 * @throws the first failure, when all others are made; the signal's reason
 */
export async function restorePorts(
  { ledger, network }: { readonly ledger: Ledger; readonly network: Ports },
  signal: AbortSignal,
  isWanted: (bridge: string) => boolean = () => true,
): Promise<void> {
  const again = restorer(ledger, signal);
  const isOn = ({ bridge }: { readonly bridge: string }): boolean => isWanted(bridge);
  await again.each('guard', network.addGuard, network.removeGuard);
  await again.each('lease', network.addLease, network.removeLease, isOn);
  await again.each('tap', network.addTap, network.removeTap, isOn);
  await again.each('publish', network.addPorts, network.removePorts);
  await again.each('metadata', network.addMetadataPort, network.removeMetadataPort);
  again.throwFirst();
}

/**
 * The same for macvtaps, after tables were swept away. Those that vanished
 * with their parent are left: the guests that had them would not find them.
 *
 * @param present - the devices that are there
 */
export async function restoreMacvtaps(
  { ledger, network }: { readonly ledger: Ledger; readonly network: Macvtaps },
  present: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  const again = restorer(ledger, signal);
  const isThere = ({ device }: { readonly device: string }): boolean => present.has(device);
  await again.each('macvtap', network.addMacvtap, network.removeMacvtap, isThere);
  await again.each('macvtap-metadata', network.addMacvtapPort, network.removeMacvtapPort);
  again.throwFirst();
}

function restorer(ledger: Ledger, signal: AbortSignal) {
  const failures: unknown[] = [];
  return {
    async each<K extends VmStepKind>(
      kind: K,
      add: ((intent: IntentOf<K>, signal: AbortSignal) => Promise<unknown>) | undefined,
      remove: ((intent: IntentOf<K>, signal: AbortSignal) => Promise<void>) | undefined,
      isWanted: (intent: IntentOf<K>) => boolean = () => true,
    ): Promise<void> {
      for (const entry of ledger.ofKind(kind)) {
        const { intent } = entry;
        if (!isMade(ledger, entry) || !isWanted(intent)) continue;
        try {
          await add?.(intent, signal);
          // Its microVM was deleted meanwhile, and the removal may have come before.
          if (!isMade(ledger, entry)) await remove?.(intent, signal);
        } catch (error) {
          signal.throwIfAborted();
          failures.push(error);
        }
      }
    },
    throwFirst(): void {
      if (failures.length > 0) throw failures[0];
    },
  };
}

const isMade = <K extends VmStepKind>(ledger: Ledger, { owner, kind, key }: LedgerEntry<K>): boolean =>
  ledger.find(owner, kind, key)?.made === true;
