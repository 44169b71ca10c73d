import type { Capabilities, ChannelKind, DiskFormat } from '../domain/capabilities.ts';
import type { Violation } from '../domain/fault.ts';
import type { Signs } from '../domain/guest-life.ts';
import type { KernelFacts } from '../domain/kernel-facts.ts';
import type { MmdsVersion } from '../domain/metadata-rules.ts';
import type { Reason } from '../domain/reason.ts';
import type { Spec } from '../domain/spec.ts';
import type { CgroupLimits } from './cgroups.ts';
import type { Channel, Dial } from './channel.ts';
import type { ProcessIdentity } from './host.ts';

/** All that a VMM needs to know of one microVM. It is the ledger's intent: it holds no secret and is plain JSON. */
export interface VmmConfig {
  readonly uid: string;
  /** Sockets; short, below the run-time directory, 0700. */
  readonly runDirectory: string;
  /** Console and log files. */
  readonly stateDirectory: string;
  /** The unprivileged uid and gid to run as. */
  readonly user: number;
  readonly vcpu: number;
  readonly memoryInMb: number;
  readonly kernel: string;
  /** What the kernel can do; absent: it is not known. */
  readonly kernelFacts?: KernelFacts;
  readonly initrd?: string;
  /** The user's arguments, to be merged with the provider's defaults: the same key given by the user wins. */
  readonly cmdline: string;
  /** Words for the guest, from other fields of the spec: see `domain/guest-words.ts`. Absent: none. */
  readonly guestWords?: readonly string[];
  /** `provider_options` of the spec; absent: none. */
  readonly options?: Readonly<Record<string, string>>;
  /** In the guest's order; `root` is the first one or none. */
  readonly disks: readonly VmmDisk[];
  /** In the guest's order. */
  readonly nics: readonly VmmNic[];
  /** Directories of cgroups that the process is to be in; absent: none. */
  readonly cgroups?: readonly string[];
  /** What it answers guests that ask for metadata, as it is at this start; absent: nothing. May hold secrets: it is in no row. */
  readonly metadata?: VmmMetadata;
}

/** Metadata that a VMM answers with itself. */
export interface VmmMetadata {
  readonly version: MmdsVersion;
  readonly data: MetadataTree;
}

/** Texts, in lists and by names. */
export type MetadataTree = { readonly [name: string]: MetadataValue };
export type MetadataValue = string | readonly MetadataValue[] | MetadataTree;

export interface VmmNic {
  readonly device: string;
  readonly mac: string;
  /** What its packets may measure, in bytes; absent: 1500. */
  readonly mtu?: number;
  /** Its guest may ask the VMM for metadata on it. */
  readonly asksMetadata?: true;
  /** The character device of a macvtap, as it is at this start: given to the VMM open. Absent: a tap, that it opens by name. */
  readonly node?: string;
}

export interface VmmDisk {
  readonly id: string;
  readonly path: string;
  readonly format: DiskFormat;
  readonly backing?: string;
  readonly readOnly: boolean;
  readonly isRoot: boolean;
  /** PARTUUID of its one partition; absent: the file system is on the bare disk. */
  readonly partitionUuid?: string;
}

/** How a microVM's run ended, as far as anybody saw. */
export interface VmmEnd {
  readonly reason: Reason;
  /** A sentence with what is known: exit code, signal, the end of the VMM's own errors. */
  readonly message: string;
  /** The guest reset its machine, and its VMM ended where another goes on: it is started again, and that is no death. */
  readonly isReset?: true;
}

/** `held`: the VMM stopped the guest because the host's disk is full. */
export type GuestState = 'running' | 'paused' | 'held' | 'unreachable';

/** A VMM that runs and is being watched. */
export interface RunningVmm {
  readonly process: ProcessIdentity;
  readonly accelerator: 'kvm' | 'tcg';
  /** The last that the VMM said. */
  readonly guest: GuestState;
  /** Called at each change of `guest`. */
  onGuest(changed: (state: GuestState) => void): void;
  /** Where in the console's file the guest began to boot, in bytes; 0 where it is not known, because the VMM was taken over. */
  readonly bootedAt: number;
  /** Called when the guest has reset itself and boots anew, once `bootedAt` says where. */
  onBoot(begun: () => void): void;
  /** What was seen of the guest so far. Never rejects: what cannot be asked is left out. */
  signs(): Promise<Signs>;
  /** What to try where nothing is seen of it: a sentence. */
  readonly advice: string;
  /** What this VMM does not tell of its guest's power, and what a user can do, in sentences; absent: it tells all. */
  readonly untold?: string | undefined;
  /** Resolves when the run has ended: within a second of it. Never rejects. */
  readonly ended: Promise<VmmEnd>;
  /** Lets go of it: it runs on. */
  release(): void;
  /**
   * Presses the guest's power button; a paused guest is let run for it.
   * @returns false where the guest has none
   * @throws Fault `tool` when the VMM does not answer; the signal's reason
   */
  pressPower(signal: AbortSignal): Promise<boolean>;
  /**
   * Reboots the guest in place: by its power button, or where it has none or
   * does not power itself off in time by a reset. Resolves when it runs again.
   *
   * @throws Fault `tool` when the VMM does not answer; the signal's reason
   */
  reboot(patienceMs: number, signal: AbortSignal): Promise<void>;
  /**
   * Has the VMM answer with other metadata from now on. Absent: it answers with none.
   * @throws as `pressPower`
   */
  readonly setMetadata?: ((data: MetadataTree, signal: AbortSignal) => Promise<void>) | undefined;
  /**
   * Has the VMM take the tap that was made in the place of one which was deleted on the host; where that cannot be, it lets go of
   * the deleted one. Absent: nothing can be done.
   * @throws as `pressPower`; with why it cannot be
   */
  readonly replug?: ((device: string, signal: AbortSignal) => Promise<void>) | undefined;
  /** Stops the guest's CPUs. @throws as `pressPower` */
  pause(signal: AbortSignal): Promise<void>;
  /** Lets them go on. @throws as `pressPower` */
  resume(signal: AbortSignal): Promise<void>;
}

export interface VmmInfo {
  readonly name: string;
  readonly version: string;
  /** By name or path. */
  readonly program: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly acceleratorReason: string;
  readonly available: boolean;
  /** Why not, with the remedy. */
  readonly unavailableReason: string;
  /** Words for clients that know no {@link features}. */
  readonly capabilities: readonly string[];
  readonly features: Capabilities;
}

export interface MachineRemarks {
  /** How the machine is another than the usual one, and why. */
  readonly chosen: readonly string[];
  /** What may keep the guest from its disks and interfaces. */
  readonly warnings: readonly string[];
}

/** Called when a VMM is ready, before its guest runs its first instruction. What it throws ends the VMM. */
export type BeforeGuest = (process: ProcessIdentity) => Promise<void>;

/** One virtual machine monitor. Faults: `tool`/`refused` ProviderRefused, `refused` ProviderUnavailable, `timeout` Timeout. */
export interface Vmm {
  readonly name: string;
  /** Of the machine that a spec gets which asks for no other, as far as it is known by now. */
  readonly capabilities: Capabilities;
  info(): Promise<VmmInfo>;
  /**
   * Resolves once it is known whether this host can use it. Absent: it counts as usable until that is known, and its starts wait.
   * @throws the signal's reason
   */
  readonly tried?: (signal: AbortSignal) => Promise<void>;
  /**
   * What of a spec this VMM cannot do, in API field names.
   * @param guestWords - as in {@link VmmConfig}, each as long as it will be
   * @param kernel - absent: it is not known yet
   */
  check(spec: Spec, guestWords: readonly string[], kernel?: KernelFacts): readonly Violation[];
  /** What a user should know of the machine that this kernel gets, and of what it may not find on it: a sentence each. */
  remarks(spec: Spec, kernel: KernelFacts): MachineRemarks;
  /** The most that it may need in all, guest and monitor. */
  needs(config: Pick<VmmConfig, 'vcpu' | 'memoryInMb'>): CgroupLimits;
  /**
   * Starts the guest and resolves once the VMM says that it runs. When a
   * process of this config runs already (a crash fell between start and
   * mark) it is taken over. On failure or abort nothing of it is left.
   *
   * @throws what `before` throws
   */
  start(config: VmmConfig, signal: AbortSignal, before?: BeforeGuest): Promise<RunningVmm>;
  /** Takes over a process that another daemon started. @returns how it ended, if it is gone */
  adopt(config: VmmConfig, process: ProcessIdentity, signal: AbortSignal): Promise<RunningVmm | VmmEnd>;
  /** Ends the process and removes its sockets; gone already is success. `process` absent: it is searched for. */
  stop(config: VmmConfig, process: ProcessIdentity | undefined, signal: AbortSignal): Promise<void>;
  /** Whether a command line is one of this VMM's, for the audit. */
  isProgram(argv: readonly string[], exe: string): boolean;
  /** The file with what the guest wrote to its console: it only grows, its beginning may be freed. */
  consolePath(config: Pick<VmmConfig, 'stateDirectory'>): string;
  /**
   * Opens a way into a guest that runs: of a kind that `capabilities.channels` has, with one owner at a time.
   * @throws Fault `refused` when it is not there; `conflict` while it has an owner; the signal's reason
   */
  openChannel(
    config: Pick<VmmConfig, 'uid' | 'runDirectory' | 'stateDirectory'>,
    kind: ChannelKind,
    signal: AbortSignal,
  ): Promise<Channel>;
  /**
   * What opens a connection to a port of the agent in a guest that runs. Undefined: that one has one channel for all, by `openChannel`.
   */
  readonly agentDial?: (config: Pick<VmmConfig, 'runDirectory' | 'user' | 'options'>) => Dial | undefined;
  /** Every file and socket that it may make in those directories, for the audit. */
  paths(config: Pick<VmmConfig, 'stateDirectory' | 'runDirectory'>): readonly string[];
}
