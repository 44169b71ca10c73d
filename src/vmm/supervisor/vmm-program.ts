import type { Fault } from '../../domain/fault.ts';
import type { ProcessExit, ProcessIdentity, StartOptions } from '../../ports/host.ts';
import type { VmmConfig, VmmEnd } from '../../ports/vmm.ts';
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
  sockets(config: Pick<VmmConfig, 'runDirectory' | 'options'>): readonly string[];
  /**
   * What its process is started with: files that it must find open, because its user may not open them; absent `output`:
   * its standard output is among its errors.
   */
  startOptions(config: VmmConfig): Pick<StartOptions, 'output' | 'input' | 'directory' | 'open'>;
  /** Makes ready what its process needs on the host, once its sockets are gone. What it made its sockets or `stop` take away. */
  prepare?(config: VmmConfig): Promise<void>;
  /** Proves by its command line that a process is the VMM of this microVM. */
  isOf(config: Pick<VmmConfig, 'uid' | 'runDirectory'>): (argv: readonly string[]) => boolean;
  /** @param argv - that it was started with, perhaps by another daemon: it is told from this what its machine is */
  runOf(config: VmmConfig, process: ProcessIdentity, argv: readonly string[]): VmmRun;
  /** Why it did not start. @param errors - the end of its standard error */
  refusalOf(exit: ProcessExit, errors: string): Fault;
  /**
   * What the end of its process tells, where it told nothing itself: of one that ends where another resets its machine.
   * @returns undefined where the exit says all
   */
  endOf?(facts: SilentEnd): VmmEnd | undefined;
}

/** All that is known of the end of a process that told nothing of it. */
export interface SilentEnd extends Pick<VmmRun, 'advice'> {
  readonly exit: ProcessExit;
  /** The end of what the guest wrote, in this run where that is known. */
  readonly console: string;
  /** The end of what the VMM wrote to its standard error. */
  readonly errors: string;
}

/** What a provider tells of one process. */
export interface VmmRun {
  readonly monitor: Monitor;
  readonly accelerator: 'kvm' | 'tcg';
  /** What to try where nothing is seen of the guest: a sentence. */
  readonly advice: string;
  /** As in `RunningVmm`. */
  readonly untold?: string;
  readonly counters: readonly PacketCounter[];
}
