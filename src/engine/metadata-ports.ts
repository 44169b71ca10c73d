import { Fault } from '../domain/fault.ts';
import { isVmEntry, type VmStep, vmOwner } from '../domain/ledger.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import { planMake } from '../steps/plan.ts';
import type { StepRunner } from './step-runner.ts';

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

  /** Runs a step; where it finds its port taken, the next attempt has another. */
  async make(step: VmStep, vm: MicroVm, signal: AbortSignal): Promise<void> {
    const { runner } = this.#deps;
    for (let now = vm, tries = 1; ; tries++) {
      try {
        return await runner.make(step, now, signal);
      } catch (error) {
        const isTaken = error instanceof Fault && error.kind === 'conflict' && isOfMetadata(step);
        if (!isTaken || tries >= TRIES) throw error;
        now = await this.#goOn(now, error.message, signal);
      }
    }
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
    const { store, ledger } = this.#deps;
    const now = store.get(vm.uid) ?? vm;
    for (const step of planMake(now, ledger.of(vmOwner(vm.uid))).filter(isOfMetadata))
      await this.make(step, store.get(vm.uid) ?? now, signal);
  }

  async #goOn(vm: MicroVm, why: string, signal: AbortSignal): Promise<MicroVm> {
    const { store, ledger, runner, log } = this.#deps;
    // The way to the old one first: it names that port.
    for (const entry of ledger.of(vmOwner(vm.uid)).filter(isVmEntry))
      if (isOfMetadata(entry)) await runner.unmake(entry, vm, signal);
    const next = store.nextMetadataPort(vm.uid) ?? vm;
    log.info('a microVM goes on to another port of the metadata service', {
      ...{ uid: vm.uid, from: vm.allocation.metadataPort, to: next.allocation.metadataPort },
      why,
    });
    return next;
  }
}

const isOfMetadata = ({ kind }: Pick<VmStep, 'kind'>): boolean => KINDS.some((one) => one === kind);
