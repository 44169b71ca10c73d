import type { Reason } from './reason.ts';
import type { Spec, SpecWithMetadata } from './spec.ts';

declare const brand: unique symbol;
/** Names one microVM for ever: a 26-character ULID, made once by the daemon, never reused, never parsed. */
export type Uid = string & { readonly [brand]: 'Uid' };

/** Milliseconds since 1970, UTC. */
export type Millis = number;

/** What is being done for a microVM now. Kept in memory only: a new daemon begins anew. */
export interface Progress {
  readonly step: string;
  readonly since: Millis;
  /** 0 where it cannot be counted. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/**
 * A state carries what is true only in it. `message` is a sentence for the user.
 * `was` is the state before the delete, in a sentence: it is told of the microVM when it is gone.
 * `ended`: a run has ended and that is told; what it held is let go before the next one.
 * `until`: by when a guest that reset its machine runs again, or is PENDING.
 */
export type State = Readonly<
  | { is: 'PENDING'; reason: Reason; message: string; nextRetryAt?: Millis; ended?: true }
  | { is: 'CREATED'; reason: 'Running'; message: string }
  | { is: 'CREATED'; reason: 'GuestReset'; message: string; until: Millis; ended?: true }
  | { is: 'PAUSED'; reason: 'Paused'; message: string }
  | { is: 'STOPPED'; reason: 'GuestShutdown' | 'Stopped'; message: string; consoleTail: string }
  | { is: 'FAILED'; reason: Reason; message: string; consoleTail: string }
  | { is: 'DELETING'; reason: Reason; message: string; nextRetryAt?: Millis; was?: string; consoleTail?: string }
>;
export type StateName = State['is'];

/** What was made for a microVM, as the host has it: shown in the status. */
export interface Made {
  readonly provider?: string;
  readonly accelerator?: 'kvm' | 'tcg';
  readonly kernel?: MadeFile;
  readonly initrd?: MadeFile;
  /** By volume id. */
  readonly volumes: Readonly<Record<string, MadeVolume>>;
  /** By guest device name. */
  readonly interfaces: Readonly<Record<string, MadeInterface>>;
}

export interface MadeFile {
  /** Digest of the image: `sha256:…`. */
  readonly digest: string;
  /** The file's name in the image. */
  readonly filename: string;
  /** Where it lies on the host. */
  readonly path: string;
}

export interface MadeVolume {
  readonly digest: string;
  readonly path: string;
  readonly sizeInMb: number;
}

export interface MadeInterface {
  readonly device: string;
  /** The host's ifindex. */
  readonly index: number;
  /** The MAC address of the host's side. */
  readonly hostMac: string;
}

/** What is a microVM's own for its whole life, taken in the transaction that creates it. */
export interface Allocation {
  /** The provider that was chosen for it. A record of an earlier version has none. */
  readonly provider?: string;
  /** The unprivileged uid and gid that its VMM runs as. */
  readonly vmmUser: number;
  readonly interfaces: Readonly<Record<string, AllocatedInterface>>;
  /** The host's port that its metadata is served on; absent where no interface may ask for it. */
  readonly metadataPort?: number;
}

export interface AllocatedInterface {
  /** The guest's MAC address. */
  readonly mac: string;
  /** The IPv4 address that DHCP gives it; absent without a managed network. */
  readonly address?: string;
  /** Its name in the managed network's DNS, without the domain; absent without an address. */
  readonly hostname?: string;
}

export type ConditionType =
  | 'ImagesReady'
  | 'DisksReady'
  | 'NetworkReady'
  | 'Running'
  | 'GuestAlive'
  | 'GuestConfigured'
  | 'GuestInit'
  | 'PowerStateVisible'
  | 'AgentReady'
  | 'Healthy'
  | 'LedgerReadable';
export interface Condition {
  readonly type: ConditionType;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: Reason;
  readonly message: string;
  readonly lastTransitionAt: Millis;
}

/** How the last run ended; kept until another has run for a while. */
export interface LastEnd {
  readonly reason: Reason;
  readonly message: string;
  readonly consoleTail: string;
  readonly at: Millis;
  /** Of the program that the guest was begun for, where its first program was ours and said so. */
  readonly exitStatus?: number;
}

/** What a user has asked for and is not done yet: a new daemon goes on with it. */
export type Asked = AskedOfGuest | AskedOfVmm;

export interface AskedOfGuest {
  readonly for: 'stop' | 'reboot';
  /** So long the guest may take to power itself off. */
  readonly by: Millis;
}

export interface AskedOfVmm {
  readonly for: 'pause' | 'resume';
  readonly since: Millis;
  /** So long the VMM may take to answer. */
  readonly by: Millis;
}

/** The record of one microVM. Every stored change makes a new one with the next version. */
export interface MicroVm {
  readonly uid: Uid;
  readonly version: number;
  /** A digest of the request that made it; absent in records of daemons that kept none. */
  readonly request?: string;
  /** Counts writes of the spec. */
  readonly generation: number;
  readonly spec: Spec;
  readonly allocation: Allocation;
  readonly state: State;
  readonly made: Made;
  readonly conditions: readonly Condition[];
  /** Addresses that the guest has taken, by guest device name. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
  /** Attempts since the last success; of a guest that has run once: its ends since it last ran for a while. */
  readonly retry: number;
  /** Its guest has run once: from then on it is started again for ever, if its policy says so. */
  readonly hasRun?: true;
  /** Since when the guest of this run runs. */
  readonly runningSince?: Millis;
  /** When the guest reset its machine lately, where its VMM ended with that. */
  readonly resets?: readonly Millis[];
  /** How far the guest's clock is behind, for the times in this boot when its CPU stood still. */
  readonly clockBehindMs?: Millis;
  readonly lastEnd?: LastEnd;
  readonly asked?: Asked;
  readonly createdAt: Millis;
  /** When the spec was last written. */
  readonly updatedAt: Millis;
  /** When a delete was accepted. */
  readonly deletedAt?: Millis;
  /** When nothing was left of it. */
  readonly goneAt?: Millis;
}

/** A microVM as users see it: its record with its metadata, and with what is true of it now and is not stored. */
export interface MicroVmView extends Omit<MicroVm, 'spec'> {
  readonly spec: SpecWithMetadata;
  readonly progress?: Progress;
  /** Where programs of the host reach its agent while it runs, of one whose spec says `agent: on`. */
  readonly agentSocket?: string;
}
