import { Semaphore } from '../base/semaphore.ts';
import { Fault } from '../domain/fault.ts';
import { isVmEntry, type LedgerEntry, type VmStep, type VmStepKind, vmOwner } from '../domain/ledger.ts';
import type { ConditionType, MicroVm } from '../domain/microvm.ts';
import { condition, madeMore } from '../domain/transitions.ts';
import type { Act, Acts, Way } from '../ports/acts.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Store, Transactions } from '../ports/store.ts';
import { planMake } from '../steps/plan.ts';
import { vmSteps } from '../steps/registry.ts';
import type { Lane, Notes, StepPorts } from '../steps/step.ts';
import type { ProgressBoard } from './progress.ts';

export interface StepRunnerDeps {
  readonly store: Store;
  readonly ledger: Ledger;
  readonly transactions: Transactions;
  readonly clock: Clock;
  readonly progress: ProgressBoard;
  readonly ports: StepPorts;
  readonly acts: Acts;
}

/**
 * How many steps of a lane run at once, over all microVMs: what two cores and
 * one disk do well. Images wait for registries, and a slow one must not hold up
 * what is here already: the image cache bounds its own work on the disk.
 * Each namespace has its turn, and leaves others some of the places for images,
 * which a registry that does not answer holds for minutes.
 */
const LANES: Record<Lane, number> = { images: 32, disks: 4, network: 4, vmm: 4 };
const IMAGES_OF_ONE = 24;
const lanes = (): Record<Lane, Semaphore> => ({
  images: new Semaphore(LANES.images, IMAGES_OF_ONE),
  disks: new Semaphore(LANES.disks),
  network: new Semaphore(LANES.network),
  vmm: new Semaphore(LANES.vmm),
});

const lengths = ({ images, disks, network, vmm }: Record<Lane, Semaphore>): Record<Lane, number> => ({
  images: images.waiting,
  disks: disks.waiting,
  network: network.waiting,
  vmm: vmm.waiting,
});

/** Runs one step: durable intent, act, mark. A crash between any two is answered by running it again or undoing it. */
export class StepRunner {
  readonly #deps: StepRunnerDeps;
  readonly #making = lanes();
  /** Of their own: no delete waits for what others make. */
  readonly #unmaking = lanes();

  constructor(deps: StepRunnerDeps) {
    this.#deps = deps;
  }

  /** How many steps wait for their turn, by lane. */
  waiting(): Readonly<Record<'make' | 'unmake', Readonly<Record<Lane, number>>>> {
    return { make: lengths(this.#making), unmake: lengths(this.#unmaking) };
  }

  async make<K extends VmStepKind>({ kind, key }: VmStep<K>, vm: MicroVm, signal: AbortSignal): Promise<void> {
    const { ledger, progress, ports, store, transactions, clock, acts } = this.#deps;
    const def = vmSteps[kind];
    const since = clock.now();
    progress.set(vm.uid, { step: kind, since, doneBytes: 0, totalBytes: 0 });
    try {
      await this.#making[def.lane].run(
        signal,
        async () => {
          const known = { vm, entries: ledger.of(vmOwner(vm.uid)), ports };
          const entry = ledger.intend(vmOwner(vm.uid), kind, key, def.intent(key, known));
          const act = actOf(kind, 'make', signal);
          const result = await acts.run(act, (limited) => {
            const onBytes = (doneBytes: number, totalBytes: number): void =>
              progress.set(vm.uid, { step: kind, since, doneBytes, totalBytes });
            const context = { ...known, signal: limited, onBytes };
            return def.make(entry.intent, context);
          });
          const show = def.show?.(key, entry.intent, result);
          transactions.transact(() => {
            ledger.made(entry, result);
            store.update(vm.uid, (old) => {
              const ready = conditionAfter(kind, old, ledger.of(vmOwner(vm.uid)), clock.now());
              return show || ready ? madeMore(old, show ?? ((made) => made), ready) : undefined;
            });
          });
          acts.marked(act);
        },
        vm.spec.namespace,
      );
    } finally {
      progress.clear(vm.uid);
    }
  }

  async unmake<K extends VmStepKind>(entry: LedgerEntry<K>, vm: MicroVm, signal: AbortSignal): Promise<void> {
    const { ledger, progress, ports, clock, acts } = this.#deps;
    const { kind } = entry;
    const def = vmSteps[kind];
    progress.set(vm.uid, { step: kind, since: clock.now(), doneBytes: 0, totalBytes: 0 });
    try {
      await this.#unmaking[def.lane].run(signal, async () => {
        const known = { vm, entries: ledger.of(vmOwner(vm.uid)), ports };
        const act = actOf(kind, 'unmake', signal);
        await acts.run(act, (limited) => def.unmake(entry.intent, entry.result, { ...known, signal: limited }));
        ledger.strike(entry);
        acts.marked(act);
      });
    } finally {
      progress.clear(vm.uid);
    }
  }
}

/** The end of its own time is a Fault that says which step and how long. */
function actOf(kind: VmStepKind, way: Way, signal: AbortSignal): Act {
  const { timeoutMs, onTimeout: reason } = vmSteps[kind];
  const late = (ms: number, cause: unknown): Fault =>
    new Fault(
      'timeout',
      `Step ${kind} did not end in ${ms / 1000} s; if this host is slow, give the daemon a larger --patience`,
      { cause, reason },
    );
  return { kind, way, signal, limit: { ms: timeoutMs, late } };
}

function conditionAfter(kind: VmStepKind, vm: MicroVm, entries: readonly LedgerEntry[], now: number) {
  const { condition: type } = vmSteps[kind];
  if (type === undefined) return undefined;
  if (planMake(vm, entries).some((step) => vmSteps[step.kind].condition === type)) return undefined;
  const all = entries.filter(isVmEntry).map((entry) => notesOf(entry, type));
  const remarks = all.flatMap((one) => one.remarks);
  const notes = all.flatMap((one) => one.notes);
  if (remarks.length > 0) return condition(type, true, 'RegistryUnreachable', [...remarks, ...notes].join(' '), now);
  return condition(type, true, 'Preparing', ['Made', ...notes.map((note) => note.replace(/\.$/, ''))].join('. '), now);
}

/** What the user should know of what is made, under the condition that stands for it. */
function notesOf<K extends VmStepKind>({ kind, result }: LedgerEntry<K>, type: ConditionType): Notes {
  const def = vmSteps[kind];
  const notes = def.condition === type && result !== undefined ? def.notes?.(result) : undefined;
  return notes ?? { remarks: [], notes: [] };
}
