import type {
  AnyEntry,
  CacheKind,
  HostStepKind,
  IntentOf,
  LedgerEntry,
  LedgerKind,
  ResultOf,
  VmStepKind,
} from '../domain/ledger.ts';
import type { ConditionType, Made, MicroVm } from '../domain/microvm.ts';
import type { Names } from '../domain/names.ts';
import type { Reason } from '../domain/reason.ts';
import type { Cgroups } from '../ports/cgroups.ts';
import type { Guests } from '../ports/guests.ts';
import type { Files } from '../ports/host.ts';
import type { Images, OnBytes } from '../ports/images.ts';
import type { GuestNetwork, ManagedNetwork, ParentNetwork } from '../ports/managed-network.ts';
import type { CidataDisks, MetadataServer, ToldMetadata } from '../ports/metadata-server.ts';
import type { Macvtaps, MetadataPaths, Network, PortGuards, Publisher } from '../ports/network.ts';
import type { NetworkProbe } from '../ports/network-probe.ts';
import type { Vmm } from '../ports/vmm.ts';
import type { Volumes } from '../ports/volumes.ts';
import type { Expecting } from './expecting.ts';
import type { RowSchema } from './row.ts';

/** What every step of a microVM may use. */
export interface StepPorts {
  readonly names: Names;
  readonly files: Files;
  readonly cgroups: Cgroups;
  readonly images: Images;
  readonly volumes: Volumes;
  readonly network: Network & PortGuards & Publisher & MetadataPaths & Macvtaps;
  readonly metadata: MetadataServer;
  readonly cidata: CidataDisks;
  readonly toldMetadata: ToldMetadata;
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

/** What every step of the host's network may use. */
export type HostStepPorts = Network & PortGuards & Publisher & MetadataPaths & Macvtaps & NetworkProbe;

export interface StepContext {
  readonly vm: MicroVm;
  /** The microVM's ledger as it is now: what earlier steps found out. */
  readonly entries: readonly AnyEntry[];
  readonly ports: StepPorts;
  /** Aborts on the step's time limit, a delete, and the daemon's end. */
  readonly signal: AbortSignal;
  readonly onBytes: OnBytes;
}

/** What a plan is made of. */
export type Planned = Pick<MicroVm, 'spec' | 'allocation'>;

export type StepCondition = Extract<ConditionType, 'ImagesReady' | 'DisksReady' | 'NetworkReady'>;

/** Work of one lane is bounded: see `engine/step-runner.ts`. */
export type Lane = 'images' | 'disks' | 'network' | 'vmm';

/** What every ledger kind says of itself, whoever makes it. */
export interface KindDef<K extends LedgerKind> {
  readonly row: RowSchema<K>;
  /** What an entry has on the host, for the audit. */
  expect(entry: LedgerEntry<K>, to: Expecting): void;
}

/**
 * All about one kind of side effect of a microVM. `make` and `unmake` may each
 * run twice, after a crash between any two of their acts, or with nothing
 * there; `unmake` knows no more than the entry.
 */
export interface VmStepDef<K extends VmStepKind> extends KindDef<K> {
  /** Milliseconds for one `make` or `unmake`. */
  readonly timeoutMs: number;
  readonly lane: Lane;
  /** The reason shown when the time is up. */
  readonly onTimeout: Reason;
  /**
   * Which kinds are made before it, and unmade after it, where they are wanted; of its own kind those that come before it in
   * the plan. The rest is made beside it. `all`: its intent needs what the others found out.
   */
  readonly after: readonly VmStepKind[] | 'all';
  /** True when all steps of it are made; absent: none stands for it. */
  readonly condition?: StepCondition;
  /** What a boot of the host leaves of it. `gone`: its mark is taken off, and it is made again. */
  readonly atBoot: 'stays' | 'gone';
  /** The keys of those that a spec asks for, in their order. */
  wanted(vm: Planned): readonly string[];
  /** What it will do, for a dry run: `make a disk from oci:/images:root`. */
  says(key: string, vm: Planned): string;
  /** That text names the key. */
  readonly saysKey?: true;
  /** Pure: a second try names the same things. */
  intent(key: string, context: Omit<StepContext, 'signal' | 'onBytes'>): IntentOf<K>;
  make(intent: IntentOf<K>, context: StepContext): Promise<ResultOf<K>>;
  unmake(intent: IntentOf<K>, result: ResultOf<K> | undefined, context: Omit<StepContext, 'onBytes'>): Promise<void>;
  /** How it is made again where somebody swept the host's network away; absent: it is no part of that. */
  readonly again?: Again<K>;
  /** What the status shows of it. */
  show?(key: string, intent: IntentOf<K>, result: ResultOf<K>): (made: Made) => Made;
  /** What its condition says of it beside that it is made. */
  notes?(result: ResultOf<K>): Notes;
}

/** What of a step is the network's own: with what it stands on made already, and while its guest runs. */
export interface Again<K extends VmStepKind> {
  /** Who looks after it: the bridge that taps are on, or the parent of macvtaps. */
  readonly under: 'bridge' | 'parent';
  /** The one bridge, or the one device, without which it is not wanted. */
  needs?(intent: IntentOf<K>): string;
  add(intent: IntentOf<K>, network: HostStepPorts, signal: AbortSignal): Promise<unknown>;
  remove(intent: IntentOf<K>, network: HostStepPorts, signal: AbortSignal): Promise<void>;
}

/** Sentences for the user. */
export interface Notes {
  /** What was used for want of an answer. */
  readonly remarks: readonly string[];
  /** What was chosen. */
  readonly notes: readonly string[];
}

/** The same of what is made once for the host, by the managed network and for a parent. */
export interface HostStepDef<K extends HostStepKind> extends KindDef<K> {
  readonly timeoutMs: number;
  make(intent: IntentOf<K>, network: HostStepPorts, signal: AbortSignal): Promise<void>;
  unmake(intent: IntentOf<K>, network: HostStepPorts, signal: AbortSignal): Promise<void>;
}

/** The same of what the image cache makes, by work that it shares: see `images/ledgered.ts`. */
export type CacheStepDef<K extends CacheKind> = KindDef<K>;
