import { type LedgerEntry, VM_STEP_KINDS, type VmStepKind } from '../domain/ledger.ts';
import type { Ledger } from '../ports/ledger.ts';
import { vmSteps } from '../steps/registry.ts';
import type { Again, HostStepPorts } from '../steps/step.ts';

export interface RestoreDeps {
  readonly ledger: Ledger;
  readonly network: HostStepPorts;
}

/**
 * Makes again what microVMs have of the host's network, after bridge, parent
 * or tables were swept away, in the order in which it was made first: guards
 * before taps, so that nothing passes unguarded. What fails of one microVM
 * keeps none of the others.
 *
 * @param under - what is under the bridge that taps are on, or under the parent of macvtaps
 * @param isWanted - by the bridge or the device that it needs. Of macvtaps that vanished with their parent nothing is: the
 * guests that had them would not find them
 * @throws the first failure, when all others are made; the signal's reason
 */
export async function restorePorts(
  deps: RestoreDeps,
  under: Again<VmStepKind>['under'],
  signal: AbortSignal,
  isWanted: (needed: string) => boolean = () => true,
): Promise<void> {
  const failures: unknown[] = [];
  for (const kind of VM_STEP_KINDS)
    if (vmSteps[kind].again?.under === under) failures.push(...(await restoreKind(deps, kind, signal, isWanted)));
  if (failures.length > 0) throw failures[0];
}

/** @returns what failed */
async function restoreKind<K extends VmStepKind>(
  { ledger, network }: RestoreDeps,
  kind: K,
  signal: AbortSignal,
  isWanted: (needed: string) => boolean,
): Promise<readonly unknown[]> {
  const { again } = vmSteps[kind];
  const failures: unknown[] = [];
  for (const entry of again ? ledger.ofKind(kind) : []) {
    const { intent } = entry;
    const needed = again?.needs?.(intent);
    if (!isMade(ledger, entry) || (needed !== undefined && !isWanted(needed))) continue;
    try {
      await again?.add(intent, network, signal);
      // Its microVM was deleted meanwhile, and the removal may have come before.
      if (!isMade(ledger, entry)) await again?.remove(intent, network, signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
    }
  }
  return failures;
}

const isMade = <K extends VmStepKind>(ledger: Ledger, { owner, kind, key }: LedgerEntry<K>): boolean =>
  ledger.find(owner, kind, key)?.made === true;
