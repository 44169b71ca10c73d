import { Fault } from '../domain/fault.ts';
import { shorten } from '../domain/labels.ts';
import { metadataBy } from '../domain/metadata-rules.ts';
import type { MicroVm, MicroVmView } from '../domain/microvm.ts';
import { patched } from '../domain/patch.ts';
import type { Metadata } from '../domain/spec.ts';
import { byUid, find } from './find.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { PlannedVm, UpdateRequest } from './services.ts';
import { type ViewNeeds, view, viewWith } from './view.ts';

type UpdateNeeds = ViewNeeds & NeedsOf<'store', 'find' | 'get' | 'update' | 'keepMetadata'>;

/**
 * Changes what can be changed of a living microVM: read, judged and written in
 * one transaction, so that no update is lost to another one.
 */
export function update(needs: UpdateNeeds & Needs<'transactions' | 'wake'>, request: UpdateRequest): MicroVmView {
  const { store, transactions, wake } = needs;
  const { uid } = find(store, request.target, false);
  let isToAct = false;
  transactions.transact(() =>
    store.update(uid, (vm) => {
      const { vm: next, metadata } = planned(needs, vm, request);
      // What its VMM answers with it has to be told of.
      const isToTell = metadata !== undefined && metadataBy(next.spec).mmds !== undefined;
      isToAct = isToTell || next.spec.restartPolicy !== vm.spec.restartPolicy;
      if (metadata) store.keepMetadata(next, metadata);
      return next === vm ? undefined : next;
    }),
  );
  if (isToAct) wake.wake(uid);
  return view(byUid(store, uid, false), needs);
}

/** As `update`, without writing anything. */
export function planUpdate(needs: UpdateNeeds, request: UpdateRequest): PlannedVm {
  const before = find(needs.store, request.target, false);
  const { vm, metadata = needs.store.metadataOf(before), plan } = planned(needs, before, request);
  return { vm: viewWith(metadata, vm, needs), plan };
}

interface Planned {
  /** The same record when nothing changes. */
  readonly vm: MicroVm;
  /** All of it, where it changes. */
  readonly metadata?: Metadata;
  readonly plan: readonly string[];
}

function planned({ store, clock }: UpdateNeeds, vm: MicroVm, request: UpdateRequest): Planned {
  const { expectedGeneration } = request;
  const { spec, changes, metadata } = patched(vm, store.metadataOf(vm), request);
  const name = `microVM ${shorten(vm.spec.namespace)}/${shorten(vm.spec.id)}`;
  if (vm.state.is === 'DELETING') throw new Fault('refused', `Cannot update ${name}: it is being deleted`);
  // Where an answer was lost the same change comes again: it is the one write since, and nothing is left of it to do.
  const isDone = spec === vm.spec && expectedGeneration === vm.generation - 1;
  if (expectedGeneration !== 0 && expectedGeneration !== vm.generation && !isDone)
    throw new Fault(
      'conflict',
      `Cannot update ${name}: it is of generation ${vm.generation}, not ${expectedGeneration}: somebody else wrote first; get it, and decide anew`,
    );
  if (spec === vm.spec) return { vm, plan: ['nothing: it is so already'] };
  const generation = vm.generation + 1;
  const next = { ...vm, spec, generation, updatedAt: clock.now() };
  return { vm: next, plan: changes, ...(metadata && { metadata }) };
}
