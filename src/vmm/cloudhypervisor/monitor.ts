import { TimeLimit } from '../../base/time-limit.ts';
import { Fault } from '../../domain/fault.ts';
import type { Clock } from '../../ports/clock.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { POWERED_OFF, panicEnd } from '../supervisor/ends.ts';
import type { Connection, GuestReport, Monitor, MonitorEvent } from '../supervisor/monitor.ts';
import { Api, type VmInfo, type VmState } from './api.ts';
import { diskOperationsIn } from './counters.ts';
import { TOLD_TO_END, VM_DELETED } from './ends.ts';
import type { EventFile } from './event-file.ts';
import type { VmmEvent } from './events.ts';
import { type Machine, macvtapsIn } from './machine.ts';
import { isPanic, Story } from './story.ts';

export interface MonitorOptions {
  /** The control socket. */
  readonly path: string;
  readonly events: EventFile;
  /** Whether the process stays when its guest powers itself off. */
  readonly stays: boolean;
  readonly clock: Pick<Clock, 'after'>;
  /** The body of `vm.create`. @throws Fault ProviderUnavailable; the signal's reason */
  readonly machine: (signal: AbortSignal) => Promise<Machine>;
  readonly nics: VmmConfig['nics'];
  /** Gives a machine its interfaces. @throws Fault ProviderRefused; the signal's reason */
  readonly addNics: (signal: AbortSignal) => Promise<void>;
  /** In a user's words, what it has against that machine. */
  readonly explain: (refusal: unknown, machine: Machine) => unknown;
}

/** It answers at once, but while a guest is booted. */
const ANSWER_MS = 5_000;

/**
 * Speaks with one Cloud Hypervisor: over its socket, and by the file of its events.
 * @see https://github.com/cloud-hypervisor/cloud-hypervisor/blob/main/docs/api.md
 */
export class CloudHypervisorMonitor implements Monitor {
  readonly hasPowerButton = true;
  readonly #options: MonitorOptions;
  readonly #story = new Story();
  #api: Api | undefined;
  #hear: (event: MonitorEvent) => void = () => undefined;
  #isKnown = false;
  #beginning: Promise<void> | undefined;
  /** A reboot of ours: called when the guest has powered itself off. */
  #onOff: (() => void) | undefined;
  #isRebooting = false;
  /** We have told it to end, or why it ends was told. */
  #isEnding = false;
  #macvtaps: readonly boolean[] = [];

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Which interfaces of the machine are macvtaps; of one that is not made yet, as they will be. */
  isMacvtap(index: number): boolean {
    return this.#macvtaps[index] ?? this.#options.nics[index]?.node !== undefined;
  }

  async connect(
    signal: AbortSignal,
    hear: (event: MonitorEvent) => void,
  ): Promise<{ connection: Connection; report: GuestReport }> {
    const { path, events } = this.#options;
    const api = new Api(path);
    const over = new AbortController();
    const close = (): void => {
      if (this.#api === api) this.#api = undefined;
      over.abort();
      api.close();
    };
    try {
      await api.ping(signal); // it may have no file of events before
      if (!this.#isKnown) {
        const isLong = await events.history((event) => this.#story.add(event));
        this.#story.booted ||= isLong;
        this.#isKnown = true;
      }
      const report = await this.#ask(api, signal);
      this.#api = api;
      this.#hear = hear;
      // What was told before its end is heard before that.
      const closed = events
        .follow((event) => this.#onEvent(event), api.closed, over.signal)
        .catch(() => undefined)
        .then(close);
      return { connection: { ask: () => this.#ask(api, over.signal), closed, close }, report };
    } catch (error) {
      close();
      signal.throwIfAborted();
      throw error;
    }
  }

  /** What was made by a start that was cut off is made anew: an answer of `vm.create` that tells of an error may be about it. */
  begin(signal: AbortSignal): Promise<void> {
    this.#beginning ??= this.#begin(signal).finally(() => {
      this.#beginning = undefined;
    });
    return this.#beginning;
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const api = this.#ready('boot');
    const { state } = await api.info(signal);
    if (this.#story.booted || (state !== undefined && state !== 'Created')) return;
    const { nics, addNics, explain } = this.#options;
    const machine = await this.#options.machine(signal);
    try {
      await api.tell('vm.delete', signal);
      await api.tell('vm.create', signal, machine);
      if (nics.length > 0) await addNics(signal);
    } catch (error) {
      using limit = new TimeLimit(undefined, ANSWER_MS);
      await api.tell('vm.delete', limit.signal).catch(() => undefined); // its process ends anyway
      throw explain(error, machine);
    }
    try {
      await api.tell('vm.boot', signal);
    } catch (error) {
      throw explain(error, machine);
    }
    this.#story.booted = true;
  }

  async pressPower(signal: AbortSignal): Promise<void> {
    await this.#ready('press the power button').tell('vm.power-button', signal);
  }

  pause(signal: AbortSignal): Promise<void> {
    return this.#change('vm.pause', 'Paused', signal);
  }

  resume(signal: AbortSignal): Promise<void> {
    return this.#change('vm.resume', 'Running', signal);
  }

  async reboot(patienceMs: number, signal: AbortSignal): Promise<void> {
    const api = this.#ready('reboot');
    this.#isRebooting = true;
    try {
      if ((await api.info(signal)).state === 'Paused') await api.tell('vm.resume', signal);
      const isOff = this.#options.stays && patienceMs > 0 && (await this.#powerOff(api, patienceMs, signal));
      // It may power itself off a moment too late.
      if (!isOff && (await api.info(signal)).state !== 'Created') return await api.tell('vm.reboot', signal);
      this.#hear({ is: 'reset', byGuest: false });
      await api.tell('vm.boot', signal);
    } finally {
      this.#isRebooting = false;
    }
  }

  async diskOperations(): Promise<number | undefined> {
    using limit = new TimeLimit(undefined, ANSWER_MS);
    return diskOperationsIn(await this.#ready('tell its counters').counters(limit.signal));
  }

  /** @returns whether it did so in time */
  async #powerOff(api: Api, patienceMs: number, signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#onOff = () => resolve(true);
    const cancel = this.#options.clock.after(patienceMs, () => resolve(false));
    const onAbort = (): void => resolve(false);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await api.tell('vm.power-button', signal);
      const isOff = await promise;
      signal.throwIfAborted();
      return isOff;
    } finally {
      this.#onOff = undefined;
      signal.removeEventListener('abort', onAbort);
      cancel();
    }
  }

  /** To be in that state already is success. */
  async #change(request: 'vm.pause' | 'vm.resume', wanted: VmState, signal: AbortSignal): Promise<void> {
    const api = this.#ready(request);
    try {
      await api.tell(request, signal);
    } catch (error) {
      const isRefusal = error instanceof Fault && error.reason === 'ProviderRefused';
      if (!isRefusal || (await api.info(signal)).state !== wanted) throw error;
    }
  }

  async #ask(api: Api, signal: AbortSignal): Promise<GuestReport> {
    const info = await api.info(signal);
    if (info.state !== undefined && info.state !== 'Created') this.#macvtaps = macvtapsIn(info.config);
    return this.#reportOf(info);
  }

  #reportOf({ state }: VmInfo): GuestReport {
    switch (state) {
      case 'Running':
        return { is: this.#story.panicked ? 'panicked' : 'running' };
      case 'Paused':
      case 'BreakPoint':
        return { is: 'paused' };
      case 'Created':
      case 'Shutdown':
        return { is: this.#story.booted ? 'off' : 'ready' };
      default:
        return this.#story.booted ? { is: 'broken', end: VM_DELETED } : { is: 'ready' };
    }
  }

  #onEvent(event: VmmEvent): void {
    this.#story.add(event);
    if (isPanic(event)) this.#onPanic();
    switch (event.what) {
      case 'vm rebooting':
        this.#hear({ is: 'reset', byGuest: !this.#isRebooting });
        break;
      case 'vm paused':
        this.#hear({ is: 'paused' });
        break;
      case 'vm resumed':
        this.#hear({ is: 'running' });
        break;
      case 'vm shutdown':
        if (this.#onOff) this.#onOff();
        else if (this.#options.stays && !this.#isEnding && !this.#isRebooting) void this.#onShutdown();
        break;
      case 'vmm shutdown':
        // Without staying it ends so for a guest that powers itself off, too.
        if (!this.#isEnding) this.#hear({ is: 'ending', end: this.#options.stays ? TOLD_TO_END : POWERED_OFF });
        break;
      default:
      // Steps on the way, and of devices.
    }
  }

  /** Its guest would boot again, or stand for ever, as its words for the kernel say. */
  #onPanic(): void {
    this.#hear({ is: 'panicked' });
    void this.#endBecause({ is: 'ending', end: panicEnd(undefined) });
  }

  /** It stays for a guest that has powered itself off; else the machine is going, too, and the process. */
  async #onShutdown(): Promise<void> {
    try {
      using limit = new TimeLimit(undefined, ANSWER_MS);
      const { state } = await this.#ready('tell its state').info(limit.signal);
      if (state === 'Created' || state === 'Shutdown') await this.#endBecause({ is: 'ending', end: POWERED_OFF });
    } catch {
      // It is ending by itself, and tells that, or it is asked again.
    }
  }

  async #endBecause(event: MonitorEvent): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#hear(event);
    try {
      using limit = new TimeLimit(undefined, ANSWER_MS);
      await this.#ready('end').tell('vmm.shutdown', limit.signal);
    } catch {
      this.#isEnding = false; // what it answers when it is asked next ends it
    }
  }

  #ready(what: string): Api {
    if (this.#api) return this.#api;
    throw new Fault('tool', `Cannot tell Cloud Hypervisor to ${what}: it does not answer`, {
      reason: 'VmmUnreachable',
    });
  }
}
