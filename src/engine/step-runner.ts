import { Semaphore } from '../base/semaphore.ts';
import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import type { Json, LedgerEntry, VmStep, VmStepKind } from '../domain/ledger.ts';
import { VM_STEP_KINDS } from '../domain/ledger.ts';
import type { MicroVm } from '../domain/microvm.ts';
import { NETWORK_KINDS, planMake } from '../domain/plan.ts';
import { condition, madeMore } from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { FaultPoints } from '../ports/fault-points.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Store, Transactions } from '../ports/store.ts';
import type { StepResults } from '../steps/facts.ts';
import { steps } from '../steps/registry.ts';
import type { Lane, StepPorts } from '../steps/step.ts';
import type { ProgressBoard } from './progress.ts';

export interface StepRunnerDeps {
  readonly store: Store;
  readonly ledger: Ledger;
  readonly transactions: Transactions;
  readonly clock: Clock;
  readonly progress: ProgressBoard;
  readonly ports: StepPorts;
  readonly faults: FaultPoints;
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

/** Which steps a condition stands for. */
const CONDITIONS = [
  ['ImagesReady', ['image']],
  ['DisksReady', ['directory', 'volume', 'cidata']],
  ['NetworkReady', NETWORK_KINDS],
] as const;

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

  async make(step: VmStep, vm: MicroVm, signal: AbortSignal): Promise<void> {
    const { ledger, progress, ports, store, transactions, clock, faults } = this.#deps;
    const def = steps[step.kind];
    const since = clock.now();
    progress.set(vm.uid, { step: step.kind, since, doneBytes: 0, totalBytes: 0 });
    try {
      await this.#making[def.lane].run(
        signal,
        async () => {
          const known = { vm, entries: ledger.of(vm.uid), ports };
          const entry = ledger.intend(vm.uid, step.kind, step.key, toJson(def.intent(step as never, known)));
          const limitMs = faults.limitMs(step.kind, 'make', def.timeoutMs);
          const result = await withLimit(step.kind, signal, limitMs, (limited) => {
            const onBytes = (doneBytes: number, totalBytes: number): void =>
              progress.set(vm.uid, { step: step.kind, since, doneBytes, totalBytes });
            const context = { ...known, signal: limited, onBytes };
            return faults.act(step.kind, 'make', () => def.make(entry.intent, context), limited);
          });
          const show = def.show?.(step as never, entry.intent, result, known);
          transactions.transact(() => {
            ledger.made(entry, toJson(result));
            store.update(vm.uid, (old) => {
              const ready = conditionAfter(step.kind, old, ledger.of(vm.uid), clock.now());
              return show || ready ? madeMore(old, show ?? ((made) => made), ready) : undefined;
            });
          });
          faults.marked(step.kind, 'make');
        },
        vm.spec.namespace,
      );
    } finally {
      progress.clear(vm.uid);
    }
  }

  async unmake(entry: LedgerEntry, vm: MicroVm, signal: AbortSignal): Promise<void> {
    const { ledger, progress, ports, clock, faults } = this.#deps;
    const kind = kindOf(entry);
    const def = steps[kind];
    progress.set(vm.uid, { step: kind, since: clock.now(), doneBytes: 0, totalBytes: 0 });
    try {
      await this.#unmaking[def.lane].run(signal, async () => {
        const known = { vm, entries: ledger.of(vm.uid), ports };
        await withLimit(kind, signal, faults.limitMs(kind, 'unmake', def.timeoutMs), (limited) => {
          const result = entry.made ? entry.result : undefined;
          const undo = () => def.unmake(entry.intent, result, { ...known, signal: limited });
          return faults.act(kind, 'unmake', undo, limited);
        });
        ledger.strike(entry);
        faults.marked(kind, 'unmake');
      });
    } finally {
      progress.clear(vm.uid);
    }
  }
}

/** Turns the end of a step's own time into a Fault that says which step and how long. */
async function withLimit<T>(
  kind: VmStepKind,
  signal: AbortSignal,
  timeoutMs: number,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using limit = new TimeLimit(signal, timeoutMs);
  try {
    return await act(limit.signal);
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    if (!limit.isLate) throw cause;
    throw new Fault(
      'timeout',
      `Step ${kind} did not end in ${timeoutMs / 1000} s; if this host is slow, give the daemon a larger --patience`,
      {
        cause,
        reason: steps[kind].onTimeout,
      },
    );
  }
}

function conditionAfter(kind: VmStepKind, vm: MicroVm, entries: readonly LedgerEntry[], now: number) {
  const row = CONDITIONS.find(([, kinds]) => (kinds as readonly string[]).includes(kind));
  if (!row) return undefined;
  const [type, kinds] = row;
  const left = planMake(vm, entries).some((step) => (kinds as readonly string[]).includes(step.kind));
  if (left) return undefined;
  const images = type === 'ImagesReady' ? entries.flatMap(imageOf) : [];
  const notes = images.flatMap((image) => image.notes ?? []);
  const remarks = images.flatMap((image) => image.remark ?? []);
  if (remarks.length > 0) return condition(type, true, 'RegistryUnreachable', [...remarks, ...notes].join(' '), now);
  return condition(type, true, 'Preparing', ['Made', ...notes.map((note) => note.replace(/\.$/, ''))].join('. '), now);
}

/** What was found out of an image: the user should know what was used for want of an answer, and what was chosen. */
function imageOf({ kind, result }: LedgerEntry): Partial<StepResults['image']> | [] {
  return kind === 'image' && typeof result === 'object' && result !== null
    ? (result as Partial<StepResults['image']>)
    : [];
}

function kindOf({ kind, owner }: LedgerEntry): VmStepKind {
  const known = VM_STEP_KINDS.find((k) => k === kind);
  if (!known) throw new Error(`ledger kind ${kind} of ${owner} is no step of a microVM`);
  return known;
}

/** Intents and results are plain data; what JSON would drop is dropped now, so that a second daemon sees the same. */
const toJson = (value: unknown): Json => JSON.parse(JSON.stringify(value ?? null)) as Json;
