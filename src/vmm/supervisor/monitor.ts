import type { MetadataTree, VmmEnd } from '../../ports/vmm.ts';

/** How the guest does, as the VMM answers. */
export type GuestReport = Readonly<
  | { is: 'running' | 'paused' | 'held' }
  /** The machine stands before its first instruction, and waits for {@link Monitor.begin}. */
  | { is: 'ready' }
  /** Its kernel panicked, and the process is still there. */
  | { is: 'panicked' }
  /** It powered itself off, and the process is still there. */
  | { is: 'off' }
  /** It cannot go on. */
  | { is: 'broken'; end: VmmEnd }
>;

/** What a VMM tells unasked. One that tells nothing is asked, and its process is looked at. */
export type MonitorEvent = Readonly<
  | { is: 'running' | 'paused' | 'held' }
  /** The machine was reset and boots anew. `byGuest`: nobody on the host asked for it. */
  | { is: 'reset'; byGuest: boolean }
  | { is: 'panicked' }
  /** The process is about to exit, for this reason. `withErrors`: what it wrote to its standard error belongs to it. */
  | { is: 'ending'; end: VmmEnd; withErrors?: true }
>;

/** One connection to a VMM. */
export interface Connection {
  /** @throws Fault `tool` when the connection ends first */
  ask(): Promise<GuestReport>;
  /** Resolves when it has ended, by whosoever. */
  readonly closed: Promise<void>;
  close(): void;
}

/**
 * What only one kind of VMM has: how it is spoken to. There is one for each
 * process. Commands go over the connection that was made last, and throw Fault
 * `tool` VmmUnreachable where there is none, and the signal's reason.
 */
export interface Monitor {
  /**
   * Connects, and asks how the guest does. Called anew when the connection has ended.
   * A VMM that begins without a machine is told of it here, before it is said to be ready.
   *
   * @param hear - called for each event, also before this resolves
   * @throws Fault `tool` when it does not answer; Fault ProviderRefused when it will not have the machine; the signal's
   * reason
   */
  connect(
    signal: AbortSignal,
    hear: (event: MonitorEvent) => void,
  ): Promise<{ readonly connection: Connection; readonly report: GuestReport }>;
  /** Lets a guest that is ready run its first instruction. */
  begin(signal: AbortSignal): Promise<void>;
  /** Of this machine. */
  readonly hasPowerButton: boolean;
  /** The guest's CPUs run. */
  pressPower(signal: AbortSignal): Promise<void>;
  pause(signal: AbortSignal): Promise<void>;
  resume(signal: AbortSignal): Promise<void>;
  /** As `RunningVmm.reboot`; what is told of its guest's power meanwhile belongs to it. */
  reboot(patienceMs: number, signal: AbortSignal): Promise<void>;
  /** As `RunningVmm.setMetadata`. Absent: its kind answers with none. */
  setMetadata?(data: MetadataTree, signal: AbortSignal): Promise<void>;
  /** As `RunningVmm.replug`. */
  replug?(device: string, signal: AbortSignal): Promise<void>;
  /** Reads and writes of the guest's disks so far; undefined where it cannot be told. */
  diskOperations(): Promise<number | undefined>;
}
