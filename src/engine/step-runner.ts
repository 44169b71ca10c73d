import { Semaphore } from '../base/semaphore.ts';
import { condition } from '../domain/conditions.ts';
import { Fault } from '../domain/fault.ts';
import {
  type AnyEntry,
  entriesOf,
  isVmEntry,
  type LedgerEntry,
  type VmStep,
  type VmStepKind,
  vmOwner,
} from '../domain/ledger.ts';
import type { ConditionType, MicroVm, Uid } from '../domain/microvm.ts';
import { madeMore } from '../domain/transitions.ts';
import type { Act, Acts, Way } from '../ports/acts.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Store, Transactions } from '../ports/store.ts';
import { newestFirst, planMake } from '../steps/plan.ts';
import { vmSteps } from '../steps/registry.ts';
import type { Lane, Notes, StepCondition, StepPorts } from '../steps/step.ts';
import { type Failure, inOrder } from './in-order.ts';
import { type Done, Marks, Round } from './marks.ts';
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
 * what is here already: the image cache bounds its own work on the disk. VMMs that
 * are ready wait for others, and the supervisor bounds how many get ready.
 * Each namespace has its turn, and leaves others some of the places for images,
 * which a registry that does not answer holds for minutes.
 */
const LANES: Record<Lane, number> = { images: 32, disks: 4, network: 4, vmm: 64 };
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

/**
 * Runs steps: durable intents, acts side by side, marks. Each intent is on the
 * disk before its act begins, and each mark comes after its act: a crash between any two is
 * answered by running the act again or undoing it.
 */
export class StepRunner {
  readonly #deps: StepRunnerDeps;
  readonly #making = lanes();
  /** Of their own: no delete waits for what others make. */
  readonly #unmaking = lanes();
  readonly #round: Round;

  constructor(deps: StepRunnerDeps) {
    this.#deps = deps;
    this.#round = new Round(deps.clock);
  }

  /** How many steps wait for their turn, by lane. */
  waiting(): Readonly<Record<'make' | 'unmake', Readonly<Record<Lane, number>>>> {
    return { make: lengths(this.#making), unmake: lengths(this.#unmaking) };
  }

  /**
   * Writes down what is made first, within the transaction that accepts the microVM: that is one commit less. What cannot
   * be planned by now is left to {@link make}, and told by it.
   */
  intend(vm: MicroVm): void {
    let writes: readonly (() => unknown)[];
    try {
      writes = planMake(vm, [])
        .filter(({ kind }) => vmSteps[kind].after !== 'all')
        .map((step) => this.#intent(step, vm, []));
    } catch (error) {
      if (error instanceof Fault) return;
      throw error;
    }
    for (const write of writes) write();
  }

  /**
   * Makes these steps, in the order in which a plan has them. What comes after all others begins in the transaction that
   * marks those.
   *
   * @returns which failed, in that order; those that waited for them were not begun
   * @throws what keeps the ledger from being written; the signal's reason
   */
  async make(
    steps: readonly VmStep[],
    vm: MicroVm,
    signal: AbortSignal,
    hooks: MakeHooks = {},
  ): Promise<readonly Failure<VmStep>[]> {
    const { ledger, transactions } = this.#deps;
    const owner = vmOwner(vm.uid);
    using marks = this.#marks('make', vm.uid);
    const made = new Map<number, AnyEntry>();
    const entries = (): readonly AnyEntry[] => ledger.of(owner).map((entry) => made.get(entry.entry) ?? entry);
    const run = async (works: readonly Making[]): Promise<readonly Failure<VmStep>[]> => {
      const failures = await inOrder(
        works,
        (one, other) => isAfter(one.step.kind, other.step.kind),
        (work) => work.run(),
      );
      if (signal.aborted) {
        await marks.write();
        throw signal.reason;
      }
      return failures.map(({ of, error }) => ({ of: of.step, error }));
    };
    const begin = <K extends VmStepKind>(step: VmStep<K>, known: readonly AnyEntry[]): Making => {
      const entry = entryOf(step, known) ?? this.#intent(step, vm, known)();
      return { step, run: () => this.#make(entry, { vm, signal, entries, made, marks }) };
    };

    const last = steps.filter(({ kind }) => vmSteps[kind].after === 'all');
    const first = steps.filter((step) => !last.includes(step));
    if (first.length > 0) {
      const known = ledger.of(owner);
      const beginAll = (): readonly Making[] => first.map((step) => begin(step, known));
      const areWritten = first.every((step) => entryOf(step, known));
      const failures = await run(areWritten ? beginAll() : transactions.transact(beginAll));
      if (failures.length > 0) {
        await marks.write();
        return failures;
      }
    }
    let works: readonly Making[] = [];
    await marks.write(() => {
      if (last.length > 0 && (hooks.mayEnd?.() ?? true)) works = last.map((step) => begin(step, ledger.of(owner)));
    });
    const failures = await run(works);
    await marks.write(failures.length > 0 ? undefined : hooks.onEnd);
    return failures;
  }

  /**
   * Unmakes these entries, each once those that were made after it are gone.
   *
   * @param onEnd - called in the transaction that strikes out the last
   * @throws what failed first, when nothing of it runs any more; the signal's reason
   */
  async unmake(
    entries: readonly LedgerEntry<VmStepKind>[],
    vm: MicroVm,
    signal: AbortSignal,
    onEnd?: () => void,
  ): Promise<void> {
    using marks = this.#marks('unmake', vm.uid);
    using _leaving = this.#deps.ledger.leaving(entries);
    const failures = await inOrder(
      newestFirst(entries),
      (one, other) => isAfter(other.kind, one.kind),
      (entry) => this.#unmake(entry, vm, signal, marks),
    );
    const isDone = failures.length === 0 && !signal.aborted;
    await marks.write(isDone ? onEnd : undefined);
    if (isDone) return;
    signal.throwIfAborted();
    const [failure] = failures;
    if (failure) throw failure.error;
  }

  /** @returns what writes it */
  #intent<K extends VmStepKind>({ kind, key }: VmStep<K>, vm: MicroVm, entries: readonly AnyEntry[]) {
    const { ledger, ports } = this.#deps;
    const intent = vmSteps[kind].intent(key, { vm, entries, ports });
    return (): LedgerEntry<K> => ledger.intend(vmOwner(vm.uid), kind, key, intent);
  }

  async #make<K extends VmStepKind>(entry: LedgerEntry<K>, batch: Batch): Promise<void> {
    const { progress, ports, clock, acts, ledger } = this.#deps;
    const { kind, key, intent } = entry;
    const { vm, signal } = batch;
    const def = vmSteps[kind];
    const work = progress.begin(vm.uid, { step: kind, since: clock.now(), doneBytes: 0, totalBytes: 0 });
    try {
      await this.#making[def.lane].run(
        signal,
        async () => {
          const act = actOf(kind, 'make', signal);
          const result = await acts.run(act, (limited) =>
            def.make(intent, { vm, entries: batch.entries(), ports, signal: limited, onBytes: work.onBytes }),
          );
          batch.made.set(entry.entry, { ...entry, made: true, result });
          batch.marks.add({ kind, act, mark: () => ledger.made(entry, result), show: def.show?.(key, intent, result) });
        },
        vm.spec.namespace,
      );
    } finally {
      work.end();
    }
  }

  async #unmake<K extends VmStepKind>(
    entry: LedgerEntry<K>,
    vm: MicroVm,
    signal: AbortSignal,
    marks: Marks,
  ): Promise<void> {
    const { ledger, progress, ports, clock, acts } = this.#deps;
    const { kind, intent, result } = entry;
    const def = vmSteps[kind];
    const work = progress.begin(vm.uid, { step: kind, since: clock.now(), doneBytes: 0, totalBytes: 0 });
    try {
      await this.#unmaking[def.lane].run(signal, async () => {
        const known = { vm, entries: ledger.of(vmOwner(vm.uid)), ports };
        const act = actOf(kind, 'unmake', signal);
        await acts.run(act, (limited) => def.unmake(intent, result, { ...known, signal: limited }));
        marks.add({ kind, act, mark: () => ledger.strike(entry), show: undefined });
      });
    } finally {
      work.end();
    }
  }

  #marks(way: Way, uid: Uid): Marks {
    const { transactions, acts } = this.#deps;
    const write = async (done: readonly Done[], and: (() => void) | undefined): Promise<void> => {
      await transactions.together(() => {
        for (const { mark } of done) mark();
        if (way === 'make') this.#show(uid, done);
        and?.();
      });
      for (const { act } of done) acts.marked(act);
    };
    return new Marks(this.#round, write);
  }

  /** What was made shows in the record, with the conditions that are met by it. */
  #show(uid: Uid, done: readonly Done[]): void {
    const { ledger, store, clock } = this.#deps;
    const types = new Set(done.map(({ kind }) => vmSteps[kind].condition));
    store.update(uid, (old) => {
      const entries = ledger.of(vmOwner(uid));
      let next = old;
      for (const { show } of done) if (show) next = madeMore(next, show, undefined);
      for (const type of types) {
        const ready = type && conditionAfter(type, old, entries, clock.now());
        if (ready) next = madeMore(next, (made) => made, ready);
      }
      return next === old ? undefined : next;
    });
  }
}

export interface MakeHooks {
  /** Whether what comes after all others may begin; called in the transaction that marks those. */
  readonly mayEnd?: () => boolean;
  /** Called in the transaction that marks the last. */
  readonly onEnd?: () => void;
}

interface Making {
  readonly step: VmStep;
  run(): Promise<void>;
}

/** What the steps of one call share. */
interface Batch {
  readonly vm: MicroVm;
  readonly signal: AbortSignal;
  /** With what was made and is not marked yet. */
  entries(): readonly AnyEntry[];
  /** By the entry's number. */
  readonly made: Map<number, AnyEntry>;
  readonly marks: Marks;
}

const entryOf = <K extends VmStepKind>({ kind, key }: VmStep<K>, entries: readonly AnyEntry[]) =>
  entriesOf(entries, kind).find((entry) => entry.key === key);

/** Whether a kind is made after another, and unmade before it. */
function isAfter(kind: VmStepKind, other: VmStepKind): boolean {
  const { after } = vmSteps[kind];
  return after === 'all' ? kind !== other : after.includes(other);
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

function conditionAfter(type: StepCondition, vm: MicroVm, entries: readonly LedgerEntry[], now: number) {
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
