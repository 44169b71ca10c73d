import { Fault } from '../domain/fault.ts';
import type { KernelFacts } from '../domain/kernel-facts.ts';
import type { LedgerEntry, VmStepKind } from '../domain/ledger.ts';
import type { ProcessIdentity } from '../ports/host.ts';
import type { Disk } from '../ports/volumes.ts';

/** What each kind of step found out, as its ledger entry keeps it. */
export interface StepResults {
  image: {
    readonly digest: string;
    readonly tree: string;
    /** That its registry did not answer, and what was used instead. */
    readonly remark?: string;
    /** A record of an earlier version has no facts. */
    readonly kernel?: {
      readonly filename: string;
      readonly path: string;
      readonly release?: string;
      readonly fitted?: true;
      readonly facts?: KernelFacts;
    };
    readonly initrd?: { readonly filename: string; readonly path: string };
    /** What the user should know of the files that were chosen, and the machine that they get. */
    readonly notes?: readonly string[];
  };
  directory: null;
  volume: Disk & { readonly digest: string };
  cidata: { readonly path: string };
  lease: null;
  guard: null;
  publish: null;
  metadata: null;
  macvtap: { readonly index: number; readonly mac: string };
  'macvtap-metadata': null;
  tap: { readonly index: number; readonly mac: string };
  vmm: {
    /** Macvtaps as this start found them: those that had vanished were made anew. */
    readonly macvtaps?: Readonly<Record<string, { readonly index: number; readonly mac: string }>>;
    readonly process: ProcessIdentity;
    readonly accelerator: 'kvm' | 'tcg';
  };
}

/**
 * The result of a step that was made before.
 * @throws Fault `tool` when it was not: the plan's order is wrong
 */
export function factOf<K extends VmStepKind>(entries: readonly LedgerEntry[], kind: K, key: string): StepResults[K] {
  const entry = entries.find((e) => e.kind === kind && e.key === key && e.made);
  if (!entry) throw new Fault('tool', `The ledger has no ${kind} "${key}" yet: its step must come first`);
  return entry.result as StepResults[K]; // written by the step of that kind alone
}
