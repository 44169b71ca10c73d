import { Fault } from '../domain/fault.ts';
import type { MicroVm, MicroVmView, State } from '../domain/microvm.ts';
import { agentSocketPath } from '../domain/names.ts';
import type { Metadata } from '../domain/spec.ts';
import { parseStatic } from '../domain/static-address.ts';
import { guestSays } from '../domain/transitions.ts';
import type { Store } from '../ports/store.ts';
import type { RunningVmm } from '../ports/vmm.ts';
import type { Needs } from './needs.ts';

/** What a view is made with. */
export type ViewNeeds = Needs<'progress' | 'running' | 'clock' | 'runDirectory'> & {
  readonly store: Pick<Store, 'metadataOf'>;
};

/**
 * A record as users see it.
 * @throws Fault `tool` when its metadata cannot be read
 */
export const view = (vm: MicroVm, needs: ViewNeeds): MicroVmView => viewWith(needs.store.metadataOf(vm), vm, needs);

/** As `view`, with metadata that is at hand. */
export const viewWith = (metadata: Metadata, vm: MicroVm, needs: Omit<ViewNeeds, 'store'>): MicroVmView =>
  withMetadata(recordNow(vm, needs), metadata);

/** One of many, or none where its metadata cannot be read: the store has said so, and it hides no other. */
export function ifReadable<T>(make: () => T): readonly T[] {
  try {
    return [make()];
  } catch (error) {
    if (error instanceof Fault) return [];
    throw error;
  }
}

/** A record as it is stored, for users. */
export function withMetadata<T extends MicroVm>({ spec, ...vm }: T, metadata: Metadata) {
  return { ...vm, spec: { ...spec, metadata } };
}

/**
 * A record with what is true now: a guest that nobody watches yet is not shown as running, nor one of which its VMM says
 * otherwise while that cannot be stored, as on a full disk.
 */
export function recordNow(
  vm: MicroVm,
  { progress, running, clock, runDirectory }: Omit<ViewNeeds, 'store'>,
): MicroVm & Pick<MicroVmView, 'progress' | 'agentSocket'> {
  const now = progress(vm.uid);
  const isAway = vm.state.reason === 'GuestReset';
  const state = claimsToRun(vm) && !isAway ? stateNow(vm, running(vm.uid), clock.now()) : vm.state;
  const hasSocket = vm.spec.providerOptions.agent === 'on' && claimsToRun(vm) && running(vm.uid) !== undefined;
  const agentSocket = hasSocket ? agentSocketPath({ runDirectory }, vm.uid) : undefined;
  return {
    ...{ ...vm, state, addresses: withStatic(vm) },
    ...(now && { progress: now }),
    ...(agentSocket !== undefined && { agentSocket }),
  };
}

/** The record says that its guest runs, or would. */
export const claimsToRun = ({ state }: Pick<MicroVm, 'state'>): boolean =>
  state.is === 'CREATED' || state.is === 'PAUSED';

function stateNow(vm: MicroVm, running: RunningVmm | undefined, now: number): State {
  if (running) return guestSays(vm, running.guest, now)?.state ?? vm.state;
  return {
    is: 'PENDING',
    reason: 'VmmUnreachable',
    message: 'The daemon has begun anew and looks whether the guest still runs',
  };
}

/** A static address is the interface's without the guest's asking: it is known while the guest runs. */
function withStatic(vm: MicroVm): MicroVmView['addresses'] {
  const { spec, addresses } = vm;
  if (!claimsToRun(vm)) return addresses;
  const fixed = spec.interfaces.flatMap(({ name, address }) => {
    const parsed = address === undefined ? undefined : parseStatic(address);
    return parsed && 'address' in parsed ? [[name, [parsed.address]] as const] : [];
  });
  return fixed.length === 0 ? addresses : { ...Object.fromEntries(fixed), ...addresses };
}
