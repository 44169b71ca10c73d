import { dirname } from 'node:path';
import { gaveUpBefore } from '../../domain/emergency.ts';
import { Fault } from '../../domain/fault.ts';
import type { Signs } from '../../domain/guest-life.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Files, OomCounter, ProcessExit, Processes, ProcessIdentity } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { GuestState, RunningVmm, VmmConfig, VmmEnd } from '../../ports/vmm.ts';
import type { PacketCounter } from './argv.ts';
import { bootAdvice, endOf, gaveUpEnd, NO_EXIT, panicEnd, panicLine, resetLoopEnd } from './ends.ts';
import { consoleLog, isOf, qmpSocket, vmmLog } from './layout.ts';
import { connectQmp, type Qmp, type QmpEvent } from './qmp.ts';
import { operationsIn, packetsOf } from './signs.ts';
import { lengthOf, tailOf, textOf } from './tail.ts';

export interface RunningDeps {
  readonly files: Files;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly log: Log;
}

/** How often a connected QEMU is asked how its guest does; an answer that takes longer makes it unreachable. */
const ASK_MS = 5_000;
/** How often the process of a QEMU that cannot be asked is looked at. */
const LOOK_MS = 250;
/** A connection that is not greeted in so many looks is given up, and another is tried. */
const LOOKS_A_CONNECTION = 20;
/** Right after the connection has ended the process is going too: it is looked at more often, so many times. */
const QUICK_LOOK_MS = 20;
const QUICK_LOOKS = 20;
/** A guest that was held for want of disk goes on when so much is free. */
const RESUME_BYTES = 64 << 20;
/** How much of a log's end is read. */
const CONSOLE_TAIL = 64 << 10;
const ERRORS_TAIL = 2_000;
/** A guest that resets itself so often within that time is in a loop: a reboot in order takes longer. */
const RESET_LOOP = { times: 6, withinMs: 60_000 };
/** A machine is reset at once. */
const RESET_MS = 5_000;
/** For events that the socket still holds when the process has ended. */
const DRAIN_MS = 200;

/**
 * One QEMU that is being watched: over its control socket as long as that
 * answers, else by its process. It has one timer.
 */
export class Running implements RunningVmm {
  readonly process: ProcessIdentity;
  readonly accelerator: 'kvm' | 'tcg';
  readonly ended: Promise<VmmEnd>;
  get uid(): string {
    return this.#config.uid;
  }

  readonly #config: VmmConfig;
  readonly #deps: RunningDeps;
  readonly #errorsFrom: number;
  readonly #listeners: ((state: GuestState) => void)[] = [];
  readonly #bootListeners: (() => void)[] = [];
  readonly #resolve: (end: VmmEnd) => void;
  readonly #isChild: boolean;
  readonly #hasAcpi: boolean;
  readonly #counters: readonly PacketCounter[];
  readonly #waiting = new Map<string, () => void>();
  /** As of the last look. */
  #ooms: OomCounter | undefined;
  #resets: readonly number[] = [];
  /** While a reboot is under way the guest's end is part of it. */
  #isRebooting = false;
  /** Whether its end has been told or it was let go. */
  #over = false;
  #finishing = false;
  #guest: GuestState = 'unreachable';
  #qmp: Qmp | undefined;
  #attempt: AbortController | undefined;
  #attemptLooks = 0;
  #asking = false;
  #quickLooks = 0;
  #stopTimer = (): void => undefined;
  #consoleFrom = 0;
  #bootedAt: number;
  #shutdown: string | undefined;
  #panicked = false;
  /** Why we ended it ourselves. */
  #verdict: VmmEnd | undefined;

  /**
   * @param exited - of a child of ours
   * @param errorsFrom - where in QEMU's log this run begins
   * @param acpi - whether the machine has a power button
   * @param bootedAt - where in the console this run begins
   */
  constructor(
    config: VmmConfig,
    process: ProcessIdentity,
    accelerator: 'kvm' | 'tcg',
    deps: RunningDeps,
    options: {
      readonly exited?: Promise<ProcessExit>;
      readonly errorsFrom?: number;
      readonly bootedAt?: number;
      readonly acpi?: boolean;
      readonly counters?: readonly PacketCounter[];
    } = {},
  ) {
    this.#config = config;
    this.process = process;
    this.accelerator = accelerator;
    this.#deps = deps;
    this.#errorsFrom = options.errorsFrom ?? 0;
    this.#bootedAt = options.bootedAt ?? 0;
    const { promise, resolve } = Promise.withResolvers<VmmEnd>();
    this.ended = promise;
    this.#resolve = resolve;
    this.#hasAcpi = options.acpi ?? false;
    this.#counters = options.counters ?? [];
    this.#isChild = options.exited !== undefined;
    void options.exited?.then((exit) => this.#finish(exit));
  }

  get guest(): GuestState {
    return this.#guest;
  }

  get bootedAt(): number {
    return this.#bootedAt;
  }

  get advice(): string {
    return bootAdvice(this.#hasAcpi);
  }

  async signs(): Promise<Signs> {
    const { files } = this.#deps;
    const [consoleBytes, diskOperations, packets] = await Promise.all([
      lengthOf(files, consoleLog(this.#config)).catch(() => 0),
      this.#config.disks.length === 0 ? undefined : this.#diskOperations().catch(() => undefined),
      this.#counters.length === 0 ? undefined : packetsOf(files, this.#counters).catch(() => undefined),
    ]);
    return {
      consoleBytes,
      ...(diskOperations !== undefined && { diskOperations }),
      ...(packets !== undefined && { packets }),
    };
  }

  /** @see https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html `query-blockstats` */
  async #diskOperations(): Promise<number | undefined> {
    const told = await this.#qmp?.execute('query-blockstats');
    if (!Array.isArray(told)) return undefined;
    return told.reduce<number>((sum, device: unknown) => sum + operationsIn(device), 0);
  }

  get isOver(): boolean {
    return this.#over;
  }

  onGuest(changed: (state: GuestState) => void): void {
    this.#listeners.push(changed);
  }

  onBoot(begun: () => void): void {
    this.#bootListeners.push(begun);
  }

  /** Begins to look after it. Called once, after the first `connect`, whether that worked or not. */
  async watch(): Promise<void> {
    this.#consoleFrom = await lengthOf(this.#deps.files, consoleLog(this.#config));
    await this.#countOoms();
    this.#rearm();
  }

  /**
   * Connects to QEMU's control socket and asks how the guest does.
   * @throws Fault `tool` when it does not answer; the signal's reason
   */
  async connect(signal: AbortSignal): Promise<void> {
    const qmp = await connectQmp(qmpSocket(this.#config), { signal, onEvent: (event) => this.#onEvent(event) });
    const close = (): void => qmp.close();
    signal.addEventListener('abort', close, { once: true });
    try {
      const status = await qmp.execute('query-status');
      if (this.#over) return qmp.close();
      this.#qmp = qmp;
      this.#quickLooks = 0;
      void qmp.closed.then(() => this.#onClose(qmp));
      this.#onStatus(status);
    } catch (error) {
      qmp.close();
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', close);
    }
  }

  release(): void {
    this.#over = true;
    this.#stopTimer();
    this.#attempt?.abort();
    this.#qmp?.close();
    this.#listeners.length = 0;
    this.#bootListeners.length = 0;
  }

  async pressPower(signal: AbortSignal): Promise<boolean> {
    if (!this.#hasAcpi) return false;
    if (this.#guest === 'paused') await this.#tell('cont', signal);
    await this.#tell('system_powerdown', signal);
    return true;
  }

  async pause(signal: AbortSignal): Promise<void> {
    await this.#tell('stop', signal);
    this.#setGuest('paused');
  }

  async resume(signal: AbortSignal): Promise<void> {
    await this.#tell('cont', signal);
    this.#setGuest('running');
  }

  /**
   * @see https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html `set-action`: with `shutdown=pause` a guest that
   * powers itself off leaves a machine that can be reset
   */
  async reboot(patienceMs: number, signal: AbortSignal): Promise<void> {
    this.#isRebooting = true;
    try {
      if (this.#hasAcpi && patienceMs > 0) await this.#powerOffAndStay(patienceMs, signal);
      const wasReset = this.#heard('RESET', RESET_MS);
      await this.#tell('system_reset', signal);
      await wasReset;
      await this.#tell('cont', signal);
    } finally {
      this.#isRebooting = false;
    }
  }

  async #powerOffAndStay(patienceMs: number, signal: AbortSignal): Promise<void> {
    const isOff = this.#heard('SHUTDOWN', patienceMs, signal);
    await this.#tell('set-action', signal, { shutdown: 'pause' });
    try {
      await this.#tell('system_powerdown', signal);
      await isOff;
      signal.throwIfAborted();
    } finally {
      // Also when we are broken off: a guest that powers off later must end.
      await this.#tell('set-action', AbortSignal.timeout(RESET_MS), { shutdown: 'poweroff' });
    }
  }

  /** Resolves at QEMU's next event of that name, when the time is up, or on abort: which, the caller need not know. */
  async #heard(event: string, withinMs: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(event, resolve);
    const cancel = this.#deps.clock.after(withinMs, resolve);
    signal?.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    cancel();
    this.#waiting.delete(event);
  }

  /** @throws Fault `tool` where QEMU does not answer; the signal's reason */
  async #tell(command: string, signal: AbortSignal, args?: Readonly<Record<string, unknown>>): Promise<void> {
    const qmp = this.#qmp;
    if (!qmp || this.#over)
      throw new Fault('tool', `Cannot tell QEMU, process ${this.process.pid}, to ${command}: it does not answer`, {
        reason: 'VmmUnreachable',
      });
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([qmp.execute(command, args), aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #rearm(): void {
    this.#stopTimer();
    if (this.#over || this.#finishing) return;
    const ms = this.#qmp ? ASK_MS : this.#quickLooks > 0 ? QUICK_LOOK_MS : LOOK_MS;
    this.#stopTimer = this.#deps.clock.after(ms, () => {
      this.#tick().catch((error: unknown) => this.#complain('Cannot look after QEMU', error));
    });
  }

  async #tick(): Promise<void> {
    try {
      if (this.#qmp && !this.#asking) {
        this.#ask(this.#qmp);
        void this.#countOoms();
        if (this.#guest === 'held') await this.#resumeIfRoom(this.#qmp);
        return;
      }
      // An answered question proves that the process lives; without one it is looked at.
      if (!(await this.#deps.processes.inspect(this.process))) {
        // Of a child the exit is on its way, and says more.
        if (!this.#isChild) void this.#finish({ code: null, signal: null, seen: false });
        return;
      }
      if (this.#quickLooks > 0) this.#quickLooks--;
      else this.#setGuest('unreachable');
      if (!this.#qmp) this.#reconnect();
    } finally {
      this.#rearm();
    }
  }

  /** Anew each time: a process may be moved, and what befell others before is not about it. */
  async #countOoms(): Promise<void> {
    try {
      this.#ooms = await this.#deps.processes.oomCounter(this.process.pid);
    } catch (error) {
      this.#complain('Cannot read what the kernel killed for want of memory', error);
    }
  }

  #ask(qmp: Qmp): void {
    this.#asking = true;
    const answered = (): void => {
      if (this.#qmp === qmp) this.#asking = false;
    };
    qmp.execute('query-status').then(
      (status) => {
        answered();
        if (this.#qmp === qmp) this.#onStatus(status);
      },
      answered, // it is closed: onClose sees to it
    );
  }

  #reconnect(): void {
    if (this.#attempt) {
      if (++this.#attemptLooks >= LOOKS_A_CONNECTION) this.#attempt.abort();
      return;
    }
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#attemptLooks = 0;
    const over = (): void => {
      this.#attempt = undefined;
      this.#rearm();
    };
    this.connect(attempt.signal).then(over, over); // a failure shows as unreachable, and is tried again
  }

  #onClose(qmp: Qmp): void {
    if (this.#qmp !== qmp) return;
    this.#qmp = undefined;
    this.#asking = false;
    this.#quickLooks = QUICK_LOOKS;
    this.#rearm();
  }

  #onEvent({ event, data }: QmpEvent): void {
    if (this.#over) return;
    this.#waiting.get(event)?.();
    if (event === 'SHUTDOWN') {
      if (!this.#isRebooting) this.#shutdown = typeof data.reason === 'string' ? data.reason : 'unknown';
    } else if (event === 'GUEST_PANICKED') this.#panicked = true;
    else if (event === 'RESET') void this.#onReset(data.guest === true);
    else if (event === 'RESUME') this.#setGuest('running');
    else if (event === 'BLOCK_IO_ERROR') {
      if (data.action === 'stop') this.#setGuest('held');
    } else if (event === 'STOP') {
      if (this.#guest !== 'held' && this.#shutdown === undefined && !this.#isRebooting) this.#setGuest('paused');
    }
  }

  /** @param status - what `query-status` returned */
  #onStatus(status: unknown): void {
    const word = typeof status === 'object' && status !== null && 'status' in status ? status.status : undefined;
    if (word === 'running') this.#setGuest('running');
    else if (word === 'io-error') this.#setGuest('held');
    else if (word === 'internal-error')
      void this.#endIt({ reason: 'VmmExited', message: 'QEMU stopped the guest for an error of the CPU emulation' });
    else if (word === 'guest-panicked') void this.#endIt(panicEnd(undefined));
    else if (this.#isRebooting) return;
    // A reboot was broken off with its daemon.
    else if (word === 'shutdown')
      void this.#endIt(this.#panicked ? panicEnd(undefined) : endOf({ ...NO_EXIT, shutdown: 'guest-shutdown' }));
    else this.#setGuest('paused');
  }

  /**
   * A guest that has no driver for the panic device reboots when it panics
   * (`panic=-1`), and so do some initrds that find no root; they would do so for
   * ever: what it said last tells.
   */
  async #onReset(byGuest: boolean): Promise<void> {
    if (this.#verdict) return; // in a loop there may be hundreds a second
    const now = this.#deps.clock.elapsed();
    if (byGuest) this.#resets = [...this.#resets.filter((at) => now - at < RESET_LOOP.withinMs), now];
    const from = this.#consoleFrom;
    const path = consoleLog(this.#config);
    try {
      this.#consoleFrom = await lengthOf(this.#deps.files, path);
      this.#bootedAt = this.#consoleFrom;
      for (const begun of this.#bootListeners) begun();
      const tail = await tailOf(this.#deps.files, path, from, CONSOLE_TAIL);
      const panic = panicLine(tail);
      const gaveUp = byGuest ? gaveUpBefore(tail) : undefined;
      if (panic !== undefined) await this.#endIt(panicEnd(panic, this.#hasAcpi));
      else if (gaveUp !== undefined) await this.#endIt(gaveUpEnd(gaveUp));
      else if (this.#resets.length >= RESET_LOOP.times) await this.#endIt(resetLoopEnd(this.#resets.length));
    } catch (error) {
      this.#complain('Cannot tell whether the guest reset itself for a panic', error);
    }
  }

  /** Ends a run that cannot go on. */
  async #endIt(verdict: VmmEnd): Promise<void> {
    if (this.#over || this.#verdict) return;
    this.#verdict = verdict;
    try {
      await this.#deps.processes.signal(this.process, isOf(this.#config), 'SIGKILL');
    } catch (error) {
      this.#verdict = undefined;
      this.#complain('Cannot end a QEMU whose guest is dead', error);
    }
  }

  async #resumeIfRoom(qmp: Qmp): Promise<void> {
    for (const disk of this.#config.disks) {
      if (disk.readOnly) continue;
      if ((await this.#deps.files.freeBytes(dirname(disk.path))) < RESUME_BYTES) return;
    }
    // It says RESUME, and stops again when the room was not enough.
    await qmp.execute('cont');
  }

  async #finish(exit: ProcessExit): Promise<void> {
    if (this.#over || this.#finishing) return;
    this.#finishing = true;
    this.#stopTimer();
    this.#attempt?.abort();
    if (this.#qmp) await this.#drain(this.#qmp);
    if (this.#over) return;
    const end = await this.#end(exit);
    if (this.#over) return;
    this.release();
    this.#resolve(end);
  }

  async #drain(qmp: Qmp): Promise<void> {
    const late = new AbortController();
    const wait = this.#deps.clock.sleep(DRAIN_MS, late.signal).catch(() => undefined);
    await Promise.race([qmp.closed, wait]);
    late.abort();
  }

  async #end(exit: ProcessExit): Promise<VmmEnd> {
    if (this.#verdict) return this.#verdict;
    const errors = await this.#tail(vmmLog(this.#config), this.#errorsFrom, ERRORS_TAIL);
    const panicked = this.#panicked || this.#shutdown === 'guest-panic';
    const panic = panicked
      ? panicLine(await this.#tail(consoleLog(this.#config), this.#consoleFrom, CONSOLE_TAIL))
      : undefined;
    // Of a child the signal is known; of another nothing is.
    const mayBeOom = exit.signal === 'SIGKILL' || !exit.seen;
    const isOom = mayBeOom && this.#ooms !== undefined && (await this.#ooms.again()) > this.#ooms.kills;
    const full = isOom ? await this.#ooms?.full() : undefined;
    return endOf({
      panicked,
      acpi: this.#hasAcpi,
      exit,
      errors,
      ...(isOom && { oomIn: full?.cgroup ?? '' }),
      ...(full && { oomLimit: full.limitBytes }),
      ...(this.#shutdown === undefined ? {} : { shutdown: this.#shutdown }),
      ...(panic === undefined ? {} : { panic }),
    });
  }

  /** Empty when it cannot be read: the end of a run is told all the same. */
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
    this.#deps.log.warn(what, { uid: this.#config.uid, pid: this.process.pid, error: textOf(error) });
  }
}
