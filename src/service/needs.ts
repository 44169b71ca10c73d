import type { Capacity, LimitSettings } from '../domain/admission.ts';
import type { AuditReport } from '../domain/audit.ts';
import type { Cidr } from '../domain/ipv4.ts';
import type { MicroVm, Progress, Uid } from '../domain/microvm.ts';
import type { PullPolicy } from '../domain/spec.ts';
import type { OthersUsers, UserRange } from '../domain/user-ranges.ts';
import type { ChannelInput } from '../ports/channel.ts';
import type { Clock } from '../ports/clock.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import type { Files } from '../ports/host.ts';
import type { ImageStore } from '../ports/images.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Surroundings } from '../ports/network.ts';
import type { Store, Transactions } from '../ports/store.ts';
import type { HostTools } from '../ports/tools.ts';
import type { RunningVmm, Vmm } from '../ports/vmm.ts';
import type { Volumes } from '../ports/volumes.ts';
import type { Wake } from '../ports/wake.ts';

/** What this daemon is. */
export interface DaemonFacts {
  readonly version: string;
  readonly instance: string;
  readonly stateDirectory: string;
  readonly runDirectory: string;
  isReconciling(): boolean;
}

/** What is stored of microVMs. */
export interface Records {
  readonly store: Store;
  readonly transactions: Transactions;
  readonly ledger: Ledger;
  readonly clock: Clock;
  newUid(): Uid;
  /** A digest of a text that no two texts share. */
  digest(text: string): string;
}

/** What is being done for them, and what is true of them now. */
export interface Engine {
  readonly wake: Wake;
  /** Writes down what will be made first for a microVM, within the transaction that accepts it. */
  intend(vm: MicroVm): void;
  /** What will be made for a microVM, a line each. */
  plan(vm: Pick<MicroVm, 'spec' | 'allocation'>): readonly string[];
  progress(uid: Uid): Progress | undefined;
  /** The VMM, if this daemon watches it. */
  running(uid: Uid): RunningVmm | undefined;
  /** Calls back when records, or what is shown of them, may have changed, with whose. @returns how to stop */
  onChange(listener: (uids: ReadonlySet<Uid>) => void): () => void;
  audit(options: { readonly fix: boolean }, signal: AbortSignal): Promise<AuditReport>;
}

/** What disks and boots are made of. */
export interface Storage {
  readonly images: ImageStore;
  readonly volumes: Volumes;
  /** Of a create that names none. */
  readonly pullPolicy: PullPolicy;
  /** Bytes; 0: no limit. */
  readonly imageCacheMax: number;
  /** The image that `flintlock run` boots, or empty. */
  readonly demoKernel: string;
}

/** What interfaces can be plugged into. */
export interface Networks {
  /** Absent: no network of the daemon's own. */
  readonly network: Cidr | undefined;
  /** Somebody else's bridge, that taps are plugged into; absent: none was given. */
  readonly bridge: string | undefined;
  /** What macvtaps are made on; absent: none was given. */
  readonly parent: string | undefined;
  readonly surroundings: Pick<Surroundings, 'ownAddresses' | 'listeners' | 'bridgeMissing' | 'parentUnfit'>;
  /** What the host itself is called: labels in lower case, which no guest gets for a name. */
  readonly ownNames: ReadonlySet<string>;
}

export interface Vmms {
  readonly vmms: readonly Vmm[];
  /** Those that a spec goes to that names none, in the order in which they are tried; one at least. */
  readonly defaultVmms: readonly [Vmm, ...Vmm[]];
  /** The first and the last uid that VMMs may run as. */
  readonly vmmUsers: UserRange;
  /** The users of the host that are somebody's: they may have come since the start. */
  othersUsers(): Promise<readonly OthersUsers[]>;
}

export interface Consoles {
  readonly files: Pick<Files, 'stat' | 'read' | 'watch'>;
  consolePath(vm: MicroVm): string | undefined;
  /** The way in to a console, shared by all who are attached. */
  joinConsole(uid: Uid): Promise<ChannelInput>;
}

export interface Agents {
  /** The agent of a guest, while it answers. */
  agentOf(uid: Uid): GuestAgent | undefined;
  /** The same, of a guest whose agent the daemon before met and this one not yet: waits a moment for it. */
  agentSoon(uid: Uid, signal: AbortSignal): Promise<GuestAgent | undefined>;
}

/** What the host has, and can do. */
export interface Host {
  readonly tools: HostTools;
  capacity(): Promise<Capacity>;
  /** What may be promised to microVMs. */
  readonly limits: LimitSettings;
  /** What limits of time are multiplied by, on a slow host. */
  readonly patience: number;
}

/** All that verbs are made of. None takes all of it: each names what it {@link Needs}. */
export interface ServiceParts extends DaemonFacts, Records, Engine, Storage, Networks, Vmms, Consoles, Agents, Host {}

/** What one verb takes, by name; its tests hand in no more. */
export type Needs<K extends keyof ServiceParts> = Pick<ServiceParts, K>;

/** Of one part some members alone: `NeedsOf<'store', 'get' | 'update'>`. */
export type NeedsOf<P extends keyof ServiceParts, K extends keyof ServiceParts[P]> = {
  readonly [Part in P]: Pick<ServiceParts[Part], K>;
};
