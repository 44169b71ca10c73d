import {
  isVmEntry,
  type LedgerEntry,
  ownerText,
  VM_STEP_KINDS,
  type VmStep,
  type VmStepKind,
} from '../domain/ledger.ts';
import { vmSteps } from './registry.ts';
import type { Planned } from './step.ts';

/** Everything that a microVM of this spec needs, in the order in which it is made. */
export const wantedSteps = (vm: Planned): readonly VmStep[] =>
  VM_STEP_KINDS.flatMap((kind) => vmSteps[kind].wanted(vm).map((key) => ({ kind, key })));

/** What is still to make. Same facts, same plan: it reads no clock and touches no host. */
export function planMake(vm: Planned, entries: readonly LedgerEntry[]): readonly VmStep[] {
  const made = new Set(entries.filter((e) => e.made).map((e) => `${e.kind} ${e.key}`));
  return wantedSteps(vm).filter((step) => !made.has(`${step.kind} ${step.key}`));
}

/** What is still to unmake: all that the ledger names, whether marked or only intended, in the order in which it goes. */
export const planUnmake = (entries: readonly LedgerEntry[]): readonly LedgerEntry<VmStepKind>[] =>
  newestFirst(entries.map(ofVm));

/** The other way round than it is made. */
export const newestFirst = (entries: readonly LedgerEntry<VmStepKind>[]): readonly LedgerEntry<VmStepKind>[] =>
  entries.toSorted((a, b) => VM_STEP_KINDS.indexOf(b.kind) - VM_STEP_KINDS.indexOf(a.kind) || b.entry - a.entry);

/** What steps will do, a readable line each: `volume root: make a disk from oci:/images:root`. */
export const planText = (vm: Planned): readonly string[] =>
  wantedSteps(vm).map(({ kind, key }) => {
    const { says, saysKey } = vmSteps[kind];
    return `${kind}${key === '' || saysKey ? '' : ` ${key}`}: ${says(key, vm)}`;
  });

function ofVm(entry: LedgerEntry): LedgerEntry<VmStepKind> {
  if (isVmEntry(entry)) return entry;
  throw new Error(`ledger kind ${entry.kind} of ${ownerText(entry.owner)} is no step of a microVM`);
}
