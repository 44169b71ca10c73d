import type { Fault } from '../../domain/fault.ts';
import type { ProcessExit, ProcessIdentity } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { Monitor } from './monitor.ts';
import type { PacketCounter } from './packets.ts';

/** What a provider tells the supervisor of its kind of VMM. */
export interface VmmProgram {
  /** As users know it: `QEMU`. */
  readonly name: string;
  /** What the guest writes to its console. */
  consoleLog(config: Pick<VmmConfig, 'stateDirectory'>): string;
  /** What the VMM itself writes. */
  errorLog(config: Pick<VmmConfig, 'stateDirectory'>): string;
  /** What it is spoken to over. */
  controlSocket(config: Pick<VmmConfig, 'runDirectory'>): string;
  /** All that it listens on: it cannot remove them itself, its user may not write to the directory. */
  sockets(config: Pick<VmmConfig, 'runDirectory'>): readonly string[];
  /** The files that it must find open as its descriptors 3, 4, …: its user may open no device. */
  openFiles(config: VmmConfig): readonly string[];
  /** Proves by its command line that a process is the VMM of this microVM. */
  isOf(config: Pick<VmmConfig, 'uid' | 'runDirectory'>): (argv: readonly string[]) => boolean;
  /** @param argv - that it was started with, perhaps by another daemon: it is told from this what its machine is */
  runOf(config: VmmConfig, process: ProcessIdentity, argv: readonly string[]): VmmRun;
  /** Why it did not start. @param errors - the end of its standard error */
  refusalOf(exit: ProcessExit, errors: string): Fault;
}

/** What a provider tells of one process. */
export interface VmmRun {
  readonly monitor: Monitor;
  readonly accelerator: 'kvm' | 'tcg';
  /** What to try where nothing is seen of the guest: a sentence. */
  readonly advice: string;
  readonly counters: readonly PacketCounter[];
}
