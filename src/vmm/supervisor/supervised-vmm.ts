import { dirname } from 'node:path';
import { TimeLimit } from '../../base/time-limit.ts';
import { gaveUpBefore } from '../../domain/emergency.ts';
import type { Signs } from '../../domain/guest-life.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Files, ProcessExit, Processes, ProcessIdentity } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { GuestState, RunningVmm, VmmConfig, VmmEnd } from '../../ports/vmm.ts';
import { ASK_MS, Contact } from './contact.ts';
import { type EndFacts, endOf, gaveUpEnd, POWERED_OFF, panicEnd, panicLine, resetLoopEnd } from './ends.ts';
import type { GuestReport, MonitorEvent } from './monitor.ts';
import { OomWatch } from './oom-watch.ts';
import { packetsOf } from './packets.ts';
import { Resets } from './resets.ts';
import type { Starts } from './starts.ts';
import { lengthOf, tailOf, textOf } from './tail.ts';
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

/** A guest that was held for want of disk goes on when so much is free. */
const RESUME_BYTES = 64 << 20;
/** How much of a log's end is read. */
export const CONSOLE_TAIL = 64 << 10;
const ERRORS_TAIL = 2_000;
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
  readonly #errorsFrom: number;
  readonly #listeners: ((state: GuestState) => void)[] = [];
  readonly #bootListeners: (() => void)[] = [];
  readonly #resolve: (end: VmmEnd) => void;
  readonly #isChild: boolean;
  readonly #resets = new Resets();
  readonly #ooms: OomWatch;
  readonly #contact: Contact;
  /** While a reboot is under way the guest's end is part of it. */
  #isRebooting = false;
  /** Whether its end has been told or it was let go. */
  #over = false;
  #finishing = false;
  /** Whether its guest may run its first instruction; and whether it waits for that. */
  #mayBegin = false;
  #isReady = false;
  #guest: GuestState = 'unreachable';
  #consoleFrom = 0;
  #bootedAt: number;
  #told: Extract<MonitorEvent, { is: 'ending' }> | undefined;
  #panicked = false;
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
    this.#errorsFrom = options.errorsFrom ?? 0;
    this.#bootedAt = options.bootedAt ?? 0;
    this.#ooms = new OomWatch(deps.processes, process.pid);
    this.#contact = new Contact({
      ...{ process, monitor: this.#run.monitor, processes: deps.processes, clock: deps.clock },
      hear: (event) => this.#hear(event),
      take: (report) => this.#take(report),
      onSilence: () => this.#setGuest('unreachable'),
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
    return this.#guest;
  }

  get bootedAt(): number {
    return this.#bootedAt;
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

  async signs(): Promise<Signs> {
    const { files } = this.#deps;
    const { counters, monitor } = this.#run;
    const [consoleBytes, diskOperations, packets] = await Promise.all([
      lengthOf(files, this.#consoleLog).catch(() => 0),
      this.#config.disks.length === 0 ? undefined : monitor.diskOperations().catch(() => undefined),
      counters.length === 0 ? undefined : packetsOf(files, counters).catch(() => undefined),
    ]);
    return {
      consoleBytes,
      ...(diskOperations !== undefined && { diskOperations }),
      ...(packets !== undefined && { packets }),
    };
  }

  onGuest(changed: (state: GuestState) => void): void {
    this.#listeners.push(changed);
  }

  onBoot(begun: () => void): void {
    this.#bootListeners.push(begun);
  }

  /** Begins to look after it. Called once, after the first `connect`, whether that worked or not. */
  async watch(): Promise<void> {
    this.#consoleFrom = await lengthOf(this.#deps.files, this.#consoleLog);
    await this.#countOoms();
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
    if (!this.#isReady) return;
    await this.#run.monitor.begin(signal);
    this.#isReady = false;
    this.#setGuest('running');
  }

  release(): void {
    this.#over = true;
    this.#contact.close();
    this.#listeners.length = 0;
    this.#bootListeners.length = 0;
  }

  async pressPower(signal: AbortSignal): Promise<boolean> {
    const { monitor } = this.#run;
    if (!monitor.hasPowerButton) return false;
    if (this.#guest === 'paused') await monitor.resume(signal);
    await monitor.pressPower(signal);
    return true;
  }

  get setMetadata(): RunningVmm['setMetadata'] {
    const { monitor } = this.#run;
    return monitor.setMetadata && ((data, signal) => monitor.setMetadata?.(data, signal) ?? Promise.resolve());
  }

  async pause(signal: AbortSignal): Promise<void> {
    await this.#run.monitor.pause(signal);
    this.#setGuest('paused');
  }

  async resume(signal: AbortSignal): Promise<void> {
    await this.#run.monitor.resume(signal);
    this.#setGuest('running');
  }

  async reboot(patienceMs: number, signal: AbortSignal): Promise<void> {
    this.#isRebooting = true;
    try {
      await this.#run.monitor.reboot(patienceMs, signal);
    } finally {
      this.#isRebooting = false;
    }
  }

  #lookAround(): Promise<void> | undefined {
    void this.#countOoms();
    return this.#guest === 'held' ? this.#resumeIfRoom() : undefined;
  }

  async #countOoms(): Promise<void> {
    try {
      await this.#ooms.count();
    } catch (error) {
      this.#complain('Cannot read what the kernel killed for want of memory', error);
    }
  }

  #hear(event: MonitorEvent): void {
    if (this.#over) return;
    switch (event.is) {
      case 'running':
      case 'held':
        this.#setGuest(event.is);
        break;
      case 'paused':
        // A machine is stopped on its way to many ends.
        if (this.#guest !== 'held' && !this.#told && !this.#isRebooting) this.#setGuest('paused');
        break;
      case 'reset':
        void this.#onReset(event.byGuest);
        break;
      case 'panicked':
        this.#panicked = true;
        break;
      case 'ending':
        if (!this.#isRebooting) this.#told = event;
        break;
      default:
        event satisfies never;
    }
  }

  #take(report: GuestReport): void {
    this.#isReady = report.is === 'ready';
    switch (report.is) {
      case 'ready':
        if (this.#mayBegin && !this.#isRebooting) void this.#beginAfterAll();
        break;
      case 'running':
      case 'held':
        this.#setGuest(report.is);
        break;
      case 'broken':
        void this.#endIt(report.end);
        break;
      case 'panicked':
        void this.#endIt(panicEnd(undefined));
        break;
      case 'off':
        // A reboot was broken off with its daemon.
        if (!this.#isRebooting) void this.#endIt(this.#panicked ? panicEnd(undefined) : POWERED_OFF);
        break;
      case 'paused':
        if (!this.#isRebooting) this.#setGuest('paused');
        break;
      default:
        report satisfies never;
    }
  }

  /**
   * A guest that has no driver for a panic device reboots when it panics
   * (`panic=-1`), and so do some initrds that find no root; they would do so for
   * ever: what it said last tells.
   */
  async #onReset(byGuest: boolean): Promise<void> {
    if (this.#verdict) return; // in a loop there may be hundreds a second
    if (byGuest) this.#resets.add(this.#deps.clock.elapsed());
    const from = this.#consoleFrom;
    try {
      this.#consoleFrom = await lengthOf(this.#deps.files, this.#consoleLog);
      this.#bootedAt = this.#consoleFrom;
      for (const begun of this.#bootListeners) begun();
      const tail = await tailOf(this.#deps.files, this.#consoleLog, from, CONSOLE_TAIL);
      const panic = panicLine(tail);
      const gaveUp = byGuest ? gaveUpBefore(tail) : undefined;
      const { loop } = this.#resets;
      if (panic !== undefined) await this.#endIt(panicEnd(panic, this.advice));
      else if (gaveUp !== undefined) await this.#endIt(gaveUpEnd(gaveUp));
      else if (loop !== undefined) await this.#endIt(resetLoopEnd(loop));
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
    for (const disk of this.#config.disks) {
      if (disk.readOnly) continue;
      if ((await this.#deps.files.freeBytes(dirname(disk.path))) < RESUME_BYTES) return;
    }
    // It says that it runs, and holds again when the room was not enough.
    using limit = new TimeLimit(undefined, ASK_MS);
    await this.#run.monitor.resume(limit.signal);
  }

  async #finish(exit: ProcessExit): Promise<void> {
    if (this.#over || this.#finishing) return;
    this.#finishing = true;
    await this.#contact.drain();
    if (this.#over) return;
    const end = this.#verdict ?? (await this.#judge(exit));
    if (this.#over) return;
    this.release();
    this.#resolve(end);
  }

  async #judge(exit: ProcessExit): Promise<VmmEnd> {
    const errors = await this.#tail(this.#program.errorLog(this.#config), this.#errorsFrom, ERRORS_TAIL);
    const isAsked = this.#panicked || (this.#program.endOf !== undefined && !this.#told);
    const console = isAsked ? await this.#tail(this.#consoleLog, this.#consoleFrom, CONSOLE_TAIL) : '';
    const panic = this.#panicked ? panicLine(console) : undefined;
    const { advice } = this;
    const isSilent = !this.#panicked && !this.#told;
    const told = isSilent ? this.#program.endOf?.({ exit, console, errors, advice }) : undefined;
    if (told) return told;
    return endOf({
      ...{ program: this.#program.name, advice, panicked: this.#panicked, exit, errors },
      ...(await this.#outOfMemory(exit)),
      ...(this.#told && { told: this.#told.end, toldWithErrors: this.#told.withErrors ?? false }),
      ...(panic !== undefined && { panic }),
    });
  }

  /** Nothing when it cannot be read: the end of a run is told all the same. */
  async #outOfMemory(exit: ProcessExit): Promise<Pick<EndFacts, 'oomIn' | 'oomLimit'>> {
    try {
      return await this.#ooms.judge(exit);
    } catch (error) {
      this.#complain('Cannot read what the kernel killed for want of memory', error);
      return {};
    }
  }

  /** Empty when it cannot be read, as above. */
  async #tail(path: string, from: number, maxBytes: number): Promise<string> {
    try {
      return await tailOf(this.#deps.files, path, from, maxBytes);
    } catch (error) {
      this.#complain(`Cannot read ${path}`, error);
      return '';
    }
  }

  #setGuest(state: GuestState): void {
    if (this.#over || this.#guest === state) return;
    this.#guest = state;
    for (const listener of this.#listeners) listener(state);
  }

  #complain(what: string, error: unknown): void {
    if (this.#over) return;
    this.#deps.log.warn(what, { uid: this.uid, pid: this.process.pid, error: textOf(error) });
  }
}
