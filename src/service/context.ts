import type { Capacity, LimitSettings } from '../domain/admission.ts';
import type { AuditReport } from '../domain/audit.ts';
import { Fault } from '../domain/fault.ts';
import type { Cidr } from '../domain/ipv4.ts';
import type { MicroVm, MicroVmView, Progress, State, Uid } from '../domain/microvm.ts';
import type { Metadata, PullPolicy } from '../domain/spec.ts';
import { parseStatic } from '../domain/static-address.ts';
import { guestSays } from '../domain/transitions.ts';
import type { OthersUsers, UserRange } from '../domain/user-ranges.ts';
import type { ChannelInput } from '../ports/channel.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';
import type { ImageStore } from '../ports/images.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Surroundings } from '../ports/network.ts';
import type { Store, Transactions } from '../ports/store.ts';
import type { HostTools } from '../ports/tools.ts';
import type { RunningVmm, Vmm, VmmInfo } from '../ports/vmm.ts';
import type { Volumes } from '../ports/volumes.ts';
import type { Wake } from '../ports/wake.ts';

/** What the verbs work with. */
export interface ServiceContext {
  readonly version: string;
  readonly instance: string;
  readonly stateDirectory: string;
  readonly runDirectory: string;
  readonly store: Store;
  readonly transactions: Transactions;
  readonly clock: Clock;
  readonly wake: Wake;
  readonly ledger: Ledger;
  readonly images: ImageStore;
  /** Of a create that names none. */
  readonly pullPolicy: PullPolicy;
  /** Bytes; 0: no limit. */
  readonly imageCacheMax: number;
  readonly volumes: Volumes;
  readonly files: Files;
  /** What the host itself is called: labels in lower case, which no guest gets for a name. */
  readonly ownNames: ReadonlySet<string>;
  /** Absent: no network of the daemon's own. */
  readonly network: Cidr | undefined;
  /** Somebody else's bridge, that taps are plugged into; absent: none was given. */
  readonly bridge: string | undefined;
  /** What macvtaps are made on; absent: none was given. */
  readonly parent: string | undefined;
  readonly surroundings: Pick<Surroundings, 'ownAddresses' | 'listeners' | 'bridgeMissing' | 'parentUnfit'>;
  /** The first and the last uid that VMMs may run as. */
  readonly vmmUsers: UserRange;
  /** The users of the host that are somebody's: they may have come since the start. */
  othersUsers(): Promise<readonly OthersUsers[]>;
  readonly vmms: readonly Vmm[];
  readonly tools: HostTools;
  /** Those that a spec goes to that names none, in the order in which they are tried; one at least. */
  readonly defaultVmms: readonly [Vmm, ...Vmm[]];
  /** What may be promised to microVMs. */
  readonly limits: LimitSettings;
  newUid(): Uid;
  /** A digest of a text that no two texts share. */
  digest(text: string): string;
  /** Writes down what will be made first for a microVM, within the transaction that accepts it. */
  intend(vm: MicroVm): void;
  /** What will be made for a microVM, a line each. */
  plan(vm: Pick<MicroVm, 'spec' | 'allocation'>): readonly string[];
  vmmInfo(vmm: Vmm): Promise<VmmInfo>;
  capacity(): Promise<Capacity>;
  progress(uid: Uid): Progress | undefined;
  /** The VMM, if this daemon watches it. */
  running(uid: Uid): RunningVmm | undefined;
  isReconciling(): boolean;
  consolePath(vm: MicroVm): string | undefined;
  /** The way in to a console, shared by all who are attached. */
  joinConsole(uid: Uid): Promise<ChannelInput>;
  /** The image that `flintlock run` boots, or empty. */
  readonly demoKernel: string;
  /** Calls back when records, or what is shown of them, may have changed, with whose. @returns how to stop */
  onChange(listener: (uids: ReadonlySet<Uid>) => void): () => void;
  audit(options: { readonly fix: boolean }, signal: AbortSignal): Promise<AuditReport>;
}

/** What a view is made with. */
export type ViewContext = Pick<ServiceContext, 'progress' | 'running' | 'clock'> & {
  readonly store: Pick<Store, 'metadataOf'>;
};

/**
 * A record as users see it.
 * @throws Fault `tool` when its metadata cannot be read
 */
export const view = (vm: MicroVm, context: ViewContext): MicroVmView =>
  viewWith(context.store.metadataOf(vm), vm, context);

/** As `view`, with metadata that is at hand. */
export const viewWith = (metadata: Metadata, vm: MicroVm, context: Omit<ViewContext, 'store'>): MicroVmView =>
  withMetadata(recordNow(vm, context), metadata);

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
  { progress, running, clock }: Omit<ViewContext, 'store'>,
): MicroVm & Pick<MicroVmView, 'progress'> {
  const now = progress(vm.uid);
  const state = claimsToRun(vm) ? stateNow(vm, running(vm.uid), clock.now()) : vm.state;
  return { ...vm, state, addresses: withStatic(vm), ...(now && { progress: now }) };
}

const claimsToRun = ({ state }: MicroVm): boolean => state.is === 'CREATED' || state.is === 'PAUSED';

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
