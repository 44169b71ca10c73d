import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import { isVmEntry, type VmStep, vmOwner } from '../domain/ledger.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import { planMake } from '../steps/plan.ts';
import type { Failure } from './in-order.ts';
import type { MakeHooks, StepRunner } from './step-runner.ts';

const KINDS = ['metadata', 'macvtap-metadata'] as const;
/** So many ports in a row are nobody's bad luck. */
const TRIES = 200;

export interface MetadataPortsDeps {
  readonly store: Pick<Store, 'get' | 'nextMetadataPort'>;
  readonly ledger: Ledger;
  readonly runner: Pick<StepRunner, 'make' | 'unmake'>;
  readonly log: Log;
}

/**
 * A port of the metadata service is taken by taking it. Where another program
 * of the host has it, a microVM goes on to the next: its guest does not notice,
 * since the firewall leads it there by its tap.
 */
export class MetadataPorts {
  readonly #deps: MetadataPortsDeps;
  /** Whose port another program had when the daemon came back. */
  readonly #lost = new Set<string>();

  constructor(deps: MetadataPortsDeps) {
    this.#deps = deps;
  }

  lose(uid: string): void {
    this.#lost.add(uid);
  }

  /**
   * Makes all that is still to make; where a port is found taken, the next attempt has another.
   * @throws what failed first
   */
  make(vm: MicroVm, signal: AbortSignal, hooks?: MakeHooks): Promise<void> {
    return this.#make(vm, () => true, signal, hooks);
  }

  /** A microVM whose port was lost has another from here on, to which the way is still to be made. */
  async leave(vm: MicroVm, signal: AbortSignal): Promise<void> {
    if (!this.#lost.has(vm.uid)) return;
    await this.#goOn(vm, 'another program had it when the daemon came back', signal);
    this.#lost.delete(vm.uid);
  }

  /** The same for one whose guest runs, and the way too: also where a daemon before us was ended in between. */
  async mend(vm: MicroVm, signal: AbortSignal): Promise<void> {
    await this.leave(vm, signal);
    await this.#make(this.#deps.store.get(vm.uid) ?? vm, isOfMetadata, signal);
  }

  async #make(vm: MicroVm, isWanted: (step: VmStep) => boolean, signal: AbortSignal, hooks?: MakeHooks): Promise<void> {
    const { ledger, runner } = this.#deps;
    for (let now = vm, tries = 1; ; tries++) {
      const steps = planMake(now, ledger.of(vmOwner(vm.uid))).filter(isWanted);
      if (steps.length === 0) return;
      const failures = await runner.make(steps, now, signal, hooks);
      const wrong = failures.find((failure) => !isTaken(failure));
      if (wrong) throw wrong.error;
      const [taken] = failures;
      if (!taken) return;
      if (tries >= TRIES) throw taken.error;
      now = await this.#goOn(now, errorMessage(taken.error), signal);
    }
  }

  async #goOn(vm: MicroVm, why: string, signal: AbortSignal): Promise<MicroVm> {
    const { store, ledger, runner, log } = this.#deps;
    // The way to the old one first: it names that port.
    await runner.unmake(ledger.of(vmOwner(vm.uid)).filter(isVmEntry).filter(isOfMetadata), vm, signal);
    const next = store.nextMetadataPort(vm.uid) ?? vm;
    log.info('a microVM goes on to another port of the metadata service', {
      ...{ uid: vm.uid, from: vm.allocation.metadataPort, to: next.allocation.metadataPort },
      why,
    });
    return next;
  }
}

const isOfMetadata = ({ kind }: Pick<VmStep, 'kind'>): boolean => KINDS.some((one) => one === kind);
const isTaken = ({ of, error }: Failure<VmStep>): boolean =>
  error instanceof Fault && error.kind === 'conflict' && isOfMetadata(of);
