import type { Limits, Resources } from '../domain/admission.ts';
import type { AuditReport } from '../domain/audit.ts';
import type { Cordon } from '../domain/cordon.ts';
import type { SpecDraft } from '../domain/draft.ts';
import type { MicroVmView } from '../domain/microvm.ts';
import type { Patch } from '../domain/patch.ts';
import type { PowerVerb } from '../domain/power-wishes.ts';
import type { AgentInfo, ExecInput, ExecOutput } from '../ports/guest-agent.ts';
import type { PortOutput, PortTarget } from '../ports/guest-ports.ts';
import type { GuestStatistics, StatisticsWanted } from '../ports/guest-statistics.ts';
import type { CachedImage } from '../ports/images.ts';
import type { ToolState } from '../ports/tools.ts';
import type { VmmInfo } from '../ports/vmm.ts';
import type { CopyKind } from '../ports/volumes.ts';
import type { Room } from './answer-room.ts';
import type { ExecWanted } from './exec.ts';
import type { FileServices } from './files.ts';
import type { Form } from './shown.ts';

/** A microVM by uid, or by namespace (empty: `default`) and id. */
export interface Target {
  readonly uid?: string;
  readonly namespace?: string;
  readonly id?: string;
}

export interface CreateOptions {
  readonly uniqueId: boolean;
  /** Absent or empty: none. */
  readonly idempotencyKey?: string;
  /** The one namespace that the caller may know of: it meets no key of others, and is told of none of theirs. Absent or empty: all. */
  readonly knows?: string;
}

/** What a mutation would do. */
export interface PlannedVm {
  /** The record as it would be; a new one with uid '' and version 0, and without an id where one would be made. */
  readonly vm: MicroVmView;
  /** One line a step, in order. */
  readonly plan: readonly string[];
}

export interface UpdateRequest extends Patch {
  readonly target: Target;
  /** 0: whatever it is. */
  readonly expectedGeneration: number;
}

export interface ListRequest {
  /** Empty: all namespaces. */
  readonly namespace: string;
  /** Absent: any. */
  readonly id?: string;
  readonly labelSelector: string;
  /** 0: all. */
  readonly pageSize: number;
  readonly pageToken: string;
  readonly showDeleted: boolean;
  /** The page ends before its records, as they are stored, have more bytes; one is in it whatever it has. Absent: no bound. */
  readonly maxBytes?: number;
}

export interface Listed<T> {
  readonly vms: readonly T[];
  /** Empty: these were the last. */
  readonly nextPageToken: string;
}

export interface WatchRequest {
  readonly namespace: string;
  readonly labelSelector: string;
  /** Empty: begin with every microVM there is as ADDED. */
  readonly cursor: string;
}

export interface WatchedEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  /** Absent in a BOOKMARK. */
  readonly vm?: MicroVmView;
  readonly cursor: string;
  readonly at: number;
}

export type Until = 'CREATED' | 'STOPPED' | 'GONE' | 'ADDRESS' | 'CONFIGURED' | 'ALIVE' | 'AGENT';

export interface ServerInfo {
  readonly version: string;
  readonly instance: string;
  readonly stateDirectory: string;
  readonly runDirectory: string;
  readonly providers: readonly VmmInfo[];
  /** The programs of the host that the daemon runs, as far as they were tried. */
  readonly tools: readonly ToolState[];
  readonly defaultProvider: string;
  readonly capacity: Resources;
  /** Where less is in force than the host has: a sentence for each. */
  readonly capacityNotes: readonly string[];
  /** Absent where the caller may not know what others have. */
  readonly promised?: Resources;
  readonly used?: Resources;
  /** The most that may be promised. */
  readonly limits: Limits;
  /** CIDR, or empty. */
  readonly managedNetwork: string;
  readonly volumeCopy: CopyKind;
  readonly reconciling: boolean;
  /** Absent: the host takes microVMs. */
  readonly cordon?: Cordon;
  readonly microvms: number;
  /** A reference, or empty. */
  readonly demoKernel: string;
}

/** An image of the cache, and the uids of the microVMs that use it. */
export interface ImageView extends CachedImage {
  readonly usedBy: readonly string[];
}

export interface ImageList {
  /** Used last first. */
  readonly images: readonly ImageView[];
  readonly volumeCopy: CopyKind;
  /** On the disk, of all. */
  readonly bytes: number;
  /** What is not used is dropped above it; 0: no limit. */
  readonly maxBytes: number;
}

export interface PullNews {
  readonly step: 'pull' | 'golden' | 'done';
  readonly doneBytes: number;
  /** 0 where it is not known. */
  readonly totalBytes: number;
  /** In the last news. */
  readonly image?: ImageView;
  readonly remark?: string;
  /** In the last news: how long the registry was waited for; absent: none was asked. */
  readonly lookUpMs?: number;
}

export interface PrunedImages {
  readonly removed: readonly ImageView[];
  readonly freedBytes: number;
}

/** What every surface offers, in the domain's terms. All throw Fault, and reject with the signal's reason on abort. */
export interface Services extends FileServices {
  /**
   * @param uniqueId - refuse a second microVM of that namespace and id (the native surface does)
   *   of one that is not refused, the very request that made a living microVM is answered with that one: `repeated-create.ts`
   * @param idempotencyKey - a request that comes again with the same key gets the first answer; another one is `refused`
   */
  create(draft: SpecDraft, options: CreateOptions): Promise<MicroVmView>;
  /** Checks all that a create checks, and says what it would do. Nothing is stored, taken or pulled. */
  planCreate(draft: SpecDraft, options: CreateOptions): Promise<PlannedVm>;
  /**
   * Changes labels, metadata and restart policy; all else is `invalid`. `conflict` when it is not of the expected
   * generation, `refused` while it is being deleted. What changes nothing writes nothing.
   */
  update(request: UpdateRequest): Promise<MicroVmView>;
  planUpdate(request: UpdateRequest): Promise<PlannedVm>;
  get(target: Target, options: { readonly showDeleted: boolean }): Promise<MicroVmView>;
  /** @returns what the name was that of */
  delete(target: Target): Promise<{ readonly uid: string }>;
  list(request: ListRequest): Promise<Listed<MicroVmView>>;
  /** The same in another form. What was made stays made until a microVM is another: ask once for each form. */
  listIn<T>(form: Form<T>): (request: ListRequest) => Promise<Listed<T>>;
  /** @param room - absent: what is read is taken at once */
  watch(request: WatchRequest, signal: AbortSignal, room?: Room): AsyncIterable<WatchedEvent>;
  wait(
    request: { readonly uid: string; readonly until: Until; readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<MicroVmView>;
  /**
   * Stores what the user wants of the guest's power, and waits for it; see `service/power-verbs.ts`.
   * @param timeoutMs - start: how long is waited for; else: how long the guest may take
   */
  power(
    verb: PowerVerb,
    request: { readonly uid: string; readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<MicroVmView>;
  /** What was recorded of the console; with `follow` also what comes, until the microVM is gone or the signal aborts. */
  readConsole(
    request: { readonly uid: string; readonly follow: boolean; readonly tailBytes: number },
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  /**
   * Types on the console of a guest that runs, and reads it until the run ends.
   * @param typed - pieces of at most 64 KiB; read on only as fast as the guest takes them
   */
  attachConsole(
    request: { readonly uid: string; readonly tailBytes: number },
    typed: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  /**
   * Runs a program in a guest: see `service/exec.ts`.
   * @param input - read on only as fast as the guest takes it
   */
  exec(request: ExecWanted, input: AsyncIterable<ExecInput>, signal: AbortSignal): AsyncIterable<ExecOutput>;
  /** Bytes to and from the SSH server of a guest: see `service/exec.ts`. */
  sshProxy(
    request: { readonly uid: string },
    input: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  /** Bytes to and from a server of a guest: see `service/forward.ts`. */
  forward(
    request: { readonly uid: string; readonly target: PortTarget },
    input: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): AsyncIterable<PortOutput>;
  /** What a guest tells of itself: see `service/statistics.ts`. */
  statistics(request: StatisticsWanted & { readonly uid: string }, signal: AbortSignal): AsyncIterable<GuestStatistics>;
  agentInfo(request: { readonly uid: string }, signal: AbortSignal): Promise<AgentInfo>;
  info(): Promise<ServerInfo>;
  /**
   * Takes no more microVMs, until `uncordonHost`, over restarts too.
   * @param reason - one line for who is turned away, or empty
   */
  cordonHost(reason: string): Promise<Cordon>;
  uncordonHost(): Promise<void>;
  audit(options: { readonly fix: boolean }, signal: AbortSignal): Promise<AuditReport>;
  listImages(): Promise<ImageList>;
  /** Progress as it comes, the newest only; then the image. */
  pullImage(
    request: { readonly reference: string; readonly goldenSizeInMb?: number },
    signal: AbortSignal,
  ): AsyncIterable<PullNews>;
  /** @param image - a digest, 12 or more hex digits of one, or a reference */
  removeImage(image: string): Promise<ImageView>;
  pruneImages(): Promise<PrunedImages>;
}
