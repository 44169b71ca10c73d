import { TimeLimit } from '../../base/time-limit.ts';
import type { Signs } from '../../domain/guest-life.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Files, ProcessExit, Processes, ProcessIdentity } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { GuestState, RunningVmm, VmmConfig, VmmEnd } from '../../ports/vmm.ts';
import { Boots } from './boots.ts';
import { ASK_MS, Contact } from './contact.ts';
import { HeardGuest } from './heard-guest.ts';
import { type Known, PostMortem } from './post-mortem.ts';
import { hasRoom } from './room.ts';
import { signsOf } from './signs.ts';
import type { Starts } from './starts.ts';
import { textOf } from './tail.ts';
import type { VmmProgram, VmmRun } from './vmm-program.ts';

export interface SupervisedDeps {
  readonly files: Files;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly log: Log;
  /** What the time for a start is multiplied by. */
  readonly patience?: number;
  /** Of all providers together. */
  readonly starts: Starts;
}

/**
 * One process of a VMM, watched: what its guest does, as far as that is known,
 * and why it ended. What is true of every kind of VMM is here; what only one
 * kind has is behind its {@link Monitor}.
 */
export class SupervisedVmm implements RunningVmm {
  readonly process: ProcessIdentity;
  readonly ended: Promise<VmmEnd>;
  readonly #config: VmmConfig;
  readonly #program: VmmProgram;
  readonly #run: VmmRun;
  readonly #deps: SupervisedDeps;
  readonly #resolve: (end: VmmEnd) => void;
  readonly #isChild: boolean;
  readonly #boots: Boots;
  readonly #postMortem: PostMortem;
  readonly #contact: Contact;
  readonly #heard: HeardGuest;
  /** Whether its end has been told or it was let go. */
  #over = false;
  #finishing = false;
  /** Whether its guest may run its first instruction. */
  #mayBegin = false;
  /** Why we ended it ourselves. */
  #verdict: VmmEnd | undefined;

  /**
   * @param argv - that it was started with
   * @param options - `exited`: of a child of ours; `errorsFrom`, `bootedAt`: where in the VMM's log and in the console
   * this run begins
   */
  constructor(
    config: VmmConfig,
    process: ProcessIdentity,
    program: VmmProgram,
    argv: readonly string[],
    deps: SupervisedDeps,
    options: { readonly exited?: Promise<ProcessExit>; readonly errorsFrom?: number; readonly bootedAt?: number } = {},
  ) {
    this.#config = config;
    this.process = process;
    this.#program = program;
    this.#run = program.runOf(config, process, argv);
    this.#deps = deps;
    const console = program.consoleLog(config);
    this.#boots = new Boots({ ...deps, console, bootedAt: options.bootedAt ?? 0 });
    this.#postMortem = new PostMortem({
      ...{ program, console, errors: program.errorLog(config), errorsFrom: options.errorsFrom ?? 0 },
      ...{ files: deps.files, processes: deps.processes, pid: process.pid },
      complain: (what, error) => this.#complain(what, error),
    });
    this.#heard = new HeardGuest({
      reset: (byGuest) => void this.#onReset(byGuest),
      end: (verdict) => void this.#endIt(verdict),
      ready: () => void (this.#mayBegin && this.#beginAfterAll()),
    });
    this.#contact = new Contact({
      ...{ process, monitor: this.#run.monitor, processes: deps.processes, clock: deps.clock },
      hear: (event) => this.#heard.hear(event),
      take: (report) => this.#heard.take(report),
      onSilence: () => this.#heard.is('unreachable'),
      onGone: () => {
        // Of a child the exit is on its way, and says more.
        if (!this.#isChild) void this.#finish({ code: null, signal: null, seen: false });
      },
      meanwhile: () => this.#lookAround(),
      complain: (error) => this.#complain(`Cannot look after ${program.name}`, error),
    });
    const { promise, resolve } = Promise.withResolvers<VmmEnd>();
    this.ended = promise;
    this.#resolve = resolve;
    this.#isChild = options.exited !== undefined;
    void options.exited?.then((exit) => this.#finish(exit));
  }

  get uid(): string {
    return this.#config.uid;
  }

  get accelerator(): 'kvm' | 'tcg' {
    return this.#run.accelerator;
  }

  get guest(): GuestState {
    return this.#heard.state;
  }

  get bootedAt(): number {
    return this.#boots.bootedAt;
  }

  get advice(): string {
    return this.#run.advice;
  }

  get untold(): string | undefined {
    return this.#run.untold;
  }

  get #consoleLog(): string {
    return this.#program.consoleLog(this.#config);
  }

  get isOver(): boolean {
    return this.#over;
  }

  signs(): Promise<Signs> {
    return signsOf(this.#run, this.#deps.files, this.#config, this.#consoleLog);
  }

  onGuest(changed: (state: GuestState) => void): void {
    this.#heard.onChange(changed);
  }

  onBoot(begun: () => void): void {
    this.#boots.onBoot(begun);
  }

  /** Begins to look after it. Called once, after the first `connect`, whether that worked or not. */
  async watch(): Promise<void> {
    await this.#boots.watch();
    await this.#postMortem.count();
    if (!this.#over && !this.#finishing) this.#contact.keep();
  }

  /**
   * Connects to the VMM, and asks how the guest does.
   * @throws Fault `tool` when it does not answer; the signal's reason
   */
  connect(signal: AbortSignal): Promise<void> {
    return this.#contact.connect(signal);
  }

  /**
   * Lets its guest run, if it has not begun: from now on, whenever it should be found so.
   * @throws Fault `tool` when the VMM does not answer; the signal's reason
   */
  async begin(signal: AbortSignal): Promise<void> {
    this.#mayBegin = true;
    if (!this.#heard.isReady) return;
    await this.#run.monitor.begin(signal);
    this.#heard.isReady = false;
    this.#heard.is('running');
  }

  release(): void {
    this.#over = true;
    this.#contact.close();
    this.#heard.close();
    this.#boots.close();
  }

  async pressPower(signal: AbortSignal): Promise<boolean> {
    const { monitor } = this.#run;
    if (!monitor.hasPowerButton) return false;
    if (this.guest === 'paused') await monitor.resume(signal);
    await monitor.pressPower(signal);
    return true;
  }

  get setMetadata(): RunningVmm['setMetadata'] {
    const { monitor } = this.#run;
    return monitor.setMetadata && ((data, signal) => monitor.setMetadata?.(data, signal) ?? Promise.resolve());
  }

  get replug(): RunningVmm['replug'] {
    const { monitor } = this.#run;
    return monitor.replug && ((device, signal) => monitor.replug?.(device, signal) ?? Promise.resolve());
  }

  async pause(signal: AbortSignal): Promise<void> {
    await this.#run.monitor.pause(signal);
    this.#heard.is('paused');
  }

  async resume(signal: AbortSignal): Promise<void> {
    await this.#run.monitor.resume(signal);
    this.#heard.is('running');
  }

  async reboot(patienceMs: number, signal: AbortSignal): Promise<void> {
    this.#heard.isRebooting = true;
    try {
      await this.#run.monitor.reboot(patienceMs, signal);
    } finally {
      this.#heard.isRebooting = false;
    }
  }

  #lookAround(): Promise<void> | undefined {
    void this.#postMortem.count();
    return this.guest === 'held' ? this.#resumeIfRoom() : undefined;
  }

  async #onReset(byGuest: boolean): Promise<void> {
    if (this.#verdict) return; // in a loop there may be hundreds a second
    try {
      const end = await this.#boots.reset(byGuest, this.advice);
      if (end) await this.#endIt(end);
    } catch (error) {
      this.#complain('Cannot tell whether the guest reset itself for a panic', error);
    }
  }

  /** Ends a run that cannot go on. */
  async #endIt(verdict: VmmEnd): Promise<void> {
    if (this.#over || this.#verdict) return;
    this.#verdict = verdict;
    try {
      await this.#deps.processes.signal(this.process, this.#program.isOf(this.#config), 'SIGKILL');
    } catch (error) {
      this.#verdict = undefined;
      this.#complain(`Cannot end a ${this.#program.name} whose guest is dead`, error);
    }
  }

  /** Who told it to begin, before us or here, was cut off. */
  async #beginAfterAll(): Promise<void> {
    try {
      using limit = new TimeLimit(undefined, ASK_MS);
      await this.begin(limit.signal);
    } catch (error) {
      this.#complain('Cannot let the guest begin', error);
    }
  }

  async #resumeIfRoom(): Promise<void> {
    if (!(await hasRoom(this.#config, this.#deps.files))) return;
    // It says that it runs, and holds again when the room was not enough.
    using limit = new TimeLimit(undefined, ASK_MS);
    await this.#run.monitor.resume(limit.signal);
  }

  async #finish(exit: ProcessExit): Promise<void> {
    if (this.#over || this.#finishing) return;
    this.#finishing = true;
    await this.#contact.drain();
    if (this.#over) return;
    const end = this.#verdict ?? (await this.#postMortem.judge(exit, this.#known));
    if (this.#over) return;
    this.release();
    this.#resolve(end);
  }

  /** All that was heard of it while it ran. */
  get #known(): Known {
    const { panicked, told } = this.#heard;
    return { advice: this.advice, panicked, consoleFrom: this.#boots.from, ...(told && { told }) };
  }

  #complain(what: string, error: unknown): void {
    if (this.#over) return;
    this.#deps.log.warn(what, { uid: this.uid, pid: this.process.pid, error: textOf(error) });
  }
}
