import { orAborted } from '../../base/or-aborted.ts';
import { Fault } from '../../domain/fault.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Run } from '../../ports/host.ts';
import type { Connection, GuestReport, Monitor, MonitorEvent } from '../supervisor/monitor.ts';
import { netdevOf } from './argv.ts';
import { operationsIn } from './block-stats.ts';
import { endingOf } from './ends.ts';
import { connectQmp, type Qmp, type QmpEvent } from './qmp.ts';
import { replug } from './replug.ts';

export interface QmpMonitorOptions {
  /** QEMU's control socket. */
  readonly path: string;
  readonly pid: number;
  /** Whether the machine has ACPI, and so a power button. */
  readonly acpi: boolean;
  /** Its interfaces on the host, in their order; `isFile`: it was given what it has open, and opened no tap. */
  readonly devices: readonly { readonly name: string; readonly isFile: boolean }[];
  readonly run: Run;
  readonly clock: Pick<Clock, 'after'>;
}

/** A machine is reset at once. */
const RESET_MS = 5_000;

/**
 * Speaks with one QEMU over its control socket.
 * @see https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html
 */
export class QmpMonitor implements Monitor {
  readonly hasPowerButton: boolean;
  readonly #options: QmpMonitorOptions;
  readonly #waiting = new Map<string, () => void>();
  #qmp: Qmp | undefined;

  constructor(options: QmpMonitorOptions) {
    this.#options = options;
    this.hasPowerButton = options.acpi;
  }

  async connect(
    signal: AbortSignal,
    hear: (event: MonitorEvent) => void,
  ): Promise<{ connection: Connection; report: GuestReport }> {
    const onEvent = (event: QmpEvent): void => this.#onEvent(event, hear);
    const qmp = await connectQmp(this.#options.path, { signal, onEvent });
    const forget = (): void => {
      if (this.#qmp === qmp) this.#qmp = undefined;
    };
    const close = (): void => {
      forget();
      qmp.close();
    };
    signal.addEventListener('abort', close, { once: true });
    const ask = async (): Promise<GuestReport> => reportOf(await qmp.execute('query-status'));
    try {
      const report = await ask();
      this.#qmp = qmp;
      void qmp.closed.then(forget);
      return { connection: { ask, closed: qmp.closed, close }, report };
    } catch (error) {
      close();
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', close);
    }
  }

  begin(signal: AbortSignal): Promise<void> {
    return this.#tell('cont', signal);
  }

  pressPower(signal: AbortSignal): Promise<void> {
    return this.#tell('system_powerdown', signal);
  }

  pause(signal: AbortSignal): Promise<void> {
    return this.#tell('stop', signal);
  }

  resume(signal: AbortSignal): Promise<void> {
    return this.#tell('cont', signal);
  }

  async reboot(patienceMs: number, signal: AbortSignal): Promise<void> {
    if (this.hasPowerButton && patienceMs > 0) await this.#powerOffAndStay(patienceMs, signal);
    const wasReset = this.#heard('RESET', RESET_MS);
    await this.#tell('system_reset', signal);
    await wasReset;
    await this.#tell('cont', signal);
  }

  /**
   * QEMU reads from a tap that was deleted without a pause, on a CPU of its own. Told to let go of it an older one does, and from
   * version 10 on it goes on.
   */
  async replug(device: string, signal: AbortSignal): Promise<void> {
    const { devices, path, pid, run } = this.#options;
    const index = devices.findIndex((one) => one.name === device && !one.isFile);
    if (index < 0) return;
    const taps = devices.flatMap(({ name, isFile }) => (isFile ? [] : [name]));
    try {
      await replug({ ...{ pid, mark: path, taps, tap: device } }, run, signal);
    } catch (error) {
      signal.throwIfAborted();
      // What was too slow can be done at the next try; what was let go of cannot be given back.
      if (error instanceof Fault && error.kind === 'timeout') throw error;
      await this.#letGo(index, signal);
      throw error;
    }
  }

  async #letGo(index: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#tell('netdev_del', signal, { id: netdevOf(index) });
    } catch (error) {
      // It was told before.
      if (!(error instanceof Fault && error.kind === 'refused' && error.message.includes('not found'))) throw error;
    }
  }

  /** @see https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html `query-blockstats` */
  async diskOperations(): Promise<number | undefined> {
    const told = await this.#qmp?.execute('query-blockstats');
    if (!Array.isArray(told)) return undefined;
    return told.reduce<number>((sum, device: unknown) => sum + operationsIn(device), 0);
  }

  /**
   * @see https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html `set-action`: with `shutdown=pause` a guest that
   * powers itself off leaves a machine that can be reset
   */
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
    const cancel = this.#options.clock.after(withinMs, resolve);
    const onAbort = (): void => resolve();
    signal?.addEventListener('abort', onAbort, { once: true });
    await promise;
    signal?.removeEventListener('abort', onAbort);
    cancel();
    this.#waiting.delete(event);
  }

  /** @throws Fault `tool` where QEMU does not answer; the signal's reason */
  async #tell(command: string, signal: AbortSignal, args?: Readonly<Record<string, unknown>>): Promise<void> {
    const qmp = this.#qmp;
    if (!qmp)
      throw new Fault('tool', `Cannot tell QEMU, process ${this.#options.pid}, to ${command}: it does not answer`, {
        reason: 'VmmUnreachable',
      });
    signal.throwIfAborted();
    await orAborted(qmp.execute(command, args), signal);
  }

  #onEvent({ event, data }: QmpEvent, hear: (event: MonitorEvent) => void): void {
    this.#waiting.get(event)?.();
    if (event === 'SHUTDOWN') {
      const reason = typeof data.reason === 'string' ? data.reason : 'unknown';
      if (reason === 'guest-panic') hear({ is: 'panicked' });
      hear(endingOf(reason));
    } else if (event === 'GUEST_PANICKED') hear({ is: 'panicked' });
    else if (event === 'RESET') hear({ is: 'reset', byGuest: data.guest === true });
    else if (event === 'RESUME') hear({ is: 'running' });
    else if (event === 'BLOCK_IO_ERROR') {
      if (data.action === 'stop') hear({ is: 'held' });
    } else if (event === 'STOP') hear({ is: 'paused' });
  }
}

/** @param status - what `query-status` returned */
function reportOf(status: unknown): GuestReport {
  const word = typeof status === 'object' && status !== null && 'status' in status ? status.status : undefined;
  switch (word) {
    case 'running':
      return { is: 'running' };
    case 'prelaunch':
      return { is: 'ready' };
    case 'io-error':
      return { is: 'held' };
    case 'internal-error': {
      const message = 'QEMU stopped the guest for an error of the CPU emulation';
      return { is: 'broken', end: { reason: 'VmmExited', message } };
    }
    case 'guest-panicked':
      return { is: 'panicked' };
    case 'shutdown':
      return { is: 'off' };
    default:
      return { is: 'paused' };
  }
}
