import type { LedgerEntry, VmStep, VmStepKind } from '../domain/ledger.ts';
import type { Made, MicroVm } from '../domain/microvm.ts';
import type { Names } from '../domain/names.ts';
import type { Reason } from '../domain/reason.ts';
import type { Cgroups } from '../ports/cgroups.ts';
import type { Guests } from '../ports/guests.ts';
import type { Files } from '../ports/host.ts';
import type { Images, OnBytes } from '../ports/images.ts';
import type { GuestNetwork, ManagedNetwork, ParentNetwork } from '../ports/managed-network.ts';
import type { CidataDisks, MetadataServer } from '../ports/metadata.ts';
import type { Macvtaps, MetadataPaths, Network, PortGuards, Publisher } from '../ports/network.ts';
import type { Vmm } from '../ports/vmm.ts';
import type { Volumes } from '../ports/volumes.ts';

/** What every step may use. */
export interface StepPorts {
  readonly names: Names;
  readonly files: Files;
  readonly cgroups: Cgroups;
  readonly images: Images;
  readonly volumes: Volumes;
  readonly network: Network & PortGuards & Publisher & MetadataPaths & Macvtaps;
  readonly metadata: MetadataServer;
  readonly cidata: CidataDisks;
  /** Absent: this daemon has no network of its own. */
  readonly managed: ManagedNetwork | undefined;
  /** Somebody else's bridge; absent: none was given. */
  readonly attached: GuestNetwork | undefined;
  /** A bridge of the host's that an interface asks for by name. */
  bridgeAt(bridge: string): GuestNetwork;
  /** What macvtaps are made on; absent: none was given. */
  readonly parent: ParentNetwork | undefined;
  readonly guests: Guests;
  /** @throws Fault `refused` when there is no such provider */
  vmm(provider: string): Vmm;
}

export interface StepContext {
  readonly vm: MicroVm;
  /** The microVM's ledger as it is now: what earlier steps found out. */
  readonly entries: readonly LedgerEntry[];
  readonly ports: StepPorts;
  /** Aborts on the step's time limit, a delete, and the daemon's end. */
  readonly signal: AbortSignal;
  readonly onBytes: OnBytes;
}

/** Work of one lane is bounded: see `engine/step-runner.ts`. */
export type Lane = 'images' | 'disks' | 'network' | 'vmm';

/**
 * How one kind of side effect is made and unmade. `make` and `unmake` may each
 * run twice, after a crash between any two of their acts, or with nothing there.
 *
 * @typeParam I - the ledger's intent: all that `unmake` may know
 * @typeParam R - what `make` found out
 */
export interface StepDef<K extends VmStepKind, I, R> {
  /** Milliseconds for one `make` or `unmake`. */
  readonly timeoutMs: number;
  readonly lane: Lane;
  /** The reason shown when the time is up. */
  readonly onTimeout: Reason;
  /** Pure: a second try names the same things. */
  intent(step: VmStep<K>, context: Omit<StepContext, 'signal' | 'onBytes'>): I;
  make(intent: I, context: StepContext): Promise<R>;
  unmake(intent: I, result: R | undefined, context: Omit<StepContext, 'onBytes'>): Promise<void>;
  /** What the status shows of it. */
  show?(step: VmStep<K>, intent: I, result: R, context: Omit<StepContext, 'signal' | 'onBytes'>): (made: Made) => Made;
}
