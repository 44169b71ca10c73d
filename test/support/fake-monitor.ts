import { Fault } from '../../src/domain/fault.ts';
import type { Connection, GuestReport, Monitor, MonitorEvent } from '../../src/vmm/supervisor/monitor.ts';

/** A VMM that says what a test lets it say. */
export class FakeMonitor implements Monitor {
  hasPowerButton = true;
  /** What it was told, in order. */
  readonly told: string[] = [];
  /** What it answers; undefined: it does not. */
  report: GuestReport | undefined = { is: 'running' };
  /** Whether it takes connections. */
  listens = true;
  connections = 0;
  questions = 0;
  operations: number | undefined = 3;
  /** Called while a reboot is under way. */
  duringReboot: () => Promise<void> = async () => undefined;
  #hear: (event: MonitorEvent) => void = () => undefined;
  #hangUp = (): void => undefined;

  async connect(
    signal: AbortSignal,
    hear: (event: MonitorEvent) => void,
  ): Promise<{ connection: Connection; report: GuestReport }> {
    signal.throwIfAborted();
    if (!this.listens) throw new Fault('tool', 'nobody listens');
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const { promise: lost, reject } = Promise.withResolvers<never>();
    lost.catch(() => undefined);
    const close = (): void => {
      resolve();
      reject(new Fault('tool', 'the connection has ended'));
    };
    const ask = (): Promise<GuestReport> => {
      this.questions++;
      return this.report ? Promise.resolve(this.report) : lost;
    };
    const report = await Promise.race([ask(), aborted(signal)]);
    this.#hear = hear;
    this.#hangUp = close;
    this.connections++;
    return { connection: { ask, closed, close }, report };
  }

  say(event: MonitorEvent): void {
    this.#hear(event);
  }

  hangUp(): void {
    this.#hangUp();
  }

  async begin(): Promise<void> {
    await this.#tell('begin');
    if (this.report?.is === 'ready') this.report = { is: 'running' };
  }

  pressPower = (): Promise<void> => this.#tell('power');
  pause = (): Promise<void> => this.#tell('pause');
  resume = (): Promise<void> => this.#tell('resume');
  diskOperations = async (): Promise<number | undefined> => this.operations;

  async reboot(): Promise<void> {
    await this.#tell('reboot');
    await this.duringReboot();
  }

  async #tell(what: string): Promise<void> {
    this.told.push(what);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}
