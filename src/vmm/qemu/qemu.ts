import { Fault } from '../../domain/fault.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Files, Processes, ProcessIdentity, Run } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { RunningVmm, Vmm, VmmConfig, VmmEnd, VmmInfo } from '../../ports/vmm.ts';
import { type AccelChoice, type Acceleration, chooseAcceleration, hostTscKhz } from './accel.ts';
import { type Machine, qemuArgv } from './argv.ts';
import { commandLine } from './cmdline.ts';
import { openConsoleSocket } from './console.ts';
import { endOf, NO_EXIT, unavailable } from './ends.ts';
import { adoptRunning, endProcess, launch, removeSockets, takeOver } from './launch.ts';
import { consoleLog, consoleSocket, isOf, isProgram, qmpSocket, vmmLog } from './layout.ts';
import { violationsOf } from './limits.ts';
import { needsOf } from './needs.ts';
import { acpiOf } from './options.ts';
import type { Running } from './running.ts';

export interface QemuOptions {
  /** The program, by name or path. */
  readonly binary: string;
  readonly accel: AccelChoice;
  /** Off for kernels without ACPI: fewer devices, and the guest cannot power itself off. A spec's `qemu.acpi` wins. */
  readonly acpi: boolean;
  readonly run: Run;
  readonly files: Files;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly log: Log;
}

const CAPABILITIES = ['initrd', 'disks', 'read-only-disks', 'qcow2', 'tap', 'console', 'adopt', 'guest-reboot'];
const ACPI_CAPABILITIES = ['guest-power-off', 'guest-panic'];

/** `QEMU emulator version 7.2.22 (Debian …)` */
const VERSION = /version (\S+)/;
const VERSION_MS = 10_000;

/**
 * QEMU with the machine `microvm`. The accelerator is chosen here, once, and
 * stays; a QEMU that is not there is looked for again at each `info` and
 * `start`.
 */
export async function createQemu(options: QemuOptions): Promise<Vmm> {
  const { binary, acpi, run, files, processes, log } = options;
  const deps = options;
  const watched = new Map<string, Running>();
  const starting = new Map<string, Promise<RunningVmm>>();

  const tscKhz = await hostTscKhz(files);
  let version: string | undefined;
  let acceleration: Acceleration = {
    accelerator: options.accel === 'kvm' ? 'kvm' : 'tcg',
    reason: 'not chosen yet: QEMU is not there',
    usable: true,
  };
  const machine = (own: Readonly<Record<string, string>> | undefined): Machine & { readonly tscKhz?: number } => {
    const { accelerator } = acceleration;
    const hasAcpi = acpiOf(own, acpi);
    // With ACPI the emulated machine has no timer left to measure the rate by: without a word a kernel may hang.
    const rate = hasAcpi && accelerator === 'tcg' && tscKhz !== undefined ? { tscKhz } : {};
    return { binary, acpi: hasAcpi, accelerator, ...rate };
  };

  /** Why QEMU cannot be used, with the remedy; empty when it can. */
  const obstacle = async (): Promise<string> => {
    if (version === undefined) {
      try {
        const text = await run([binary, '--version'], { timeoutMs: VERSION_MS, signal: new AbortController().signal });
        acceleration = await chooseAcceleration(options.accel, options);
        version = VERSION.exec(text)?.[1] ?? text.split('\n')[0]?.slice(0, 80) ?? '';
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        return unavailable(binary, error.message);
      }
    }
    return acceleration.usable ? '' : `${acceleration.reason}. Use --qemu-accel auto or tcg`;
  };
  await obstacle();

  const keep = (running: Running): Running => {
    watched.set(running.uid, running);
    void running.ended.then(() => {
      if (watched.get(running.uid) === running) watched.delete(running.uid);
    });
    return running;
  };
  const watchedNow = (uid: string): Running | undefined => {
    const running = watched.get(uid);
    return running?.isOver ? undefined : running;
  };

  const start = async (config: VmmConfig, signal: AbortSignal): Promise<RunningVmm> => {
    const here = watchedNow(config.uid);
    if (here) return here;
    // QEMU's log is opened before QEMU is started: without one there is nothing to look for among all processes.
    const [info] = (await files.stat(vmmLog(config))) ? await processes.find(isOf(config)) : [];
    if (info) {
      log.info('A QEMU of this microVM runs already and is taken over', { uid: config.uid, pid: info.pid });
      await processes.moveInto(info.pid, config.cgroups ?? []); // perhaps it came no further than its start
      return keep(await takeOver(config, info, deps, signal));
    }
    const why = await obstacle();
    if (why) throw new Fault('refused', why, { reason: 'ProviderUnavailable' });
    const chosen = machine(config.options);
    const line = commandLine({ ...config, ...chosen });
    return keep(await launch(config, qemuArgv(config, chosen, line), chosen, deps, signal));
  };

  return {
    name: 'qemu',

    async info(): Promise<VmmInfo> {
      const unavailableReason = await obstacle();
      return {
        name: 'qemu',
        version: version ?? '',
        accelerator: acceleration.accelerator,
        acceleratorReason: acceleration.reason,
        available: unavailableReason === '',
        unavailableReason,
        capabilities: [...CAPABILITIES, ...(acpi ? ACPI_CAPABILITIES : [])],
      };
    },

    check: (spec, words) => violationsOf(spec, machine(spec.providerOptions), words),

    needs: (config) => needsOf(config, acceleration.accelerator),

    async start(config, signal) {
      // Two at once would both find no process.
      const before = starting.get(config.uid);
      const started = (async () => {
        await before?.catch(() => undefined);
        signal.throwIfAborted();
        return await start(config, signal);
      })();
      starting.set(config.uid, started);
      try {
        return await started;
      } finally {
        if (starting.get(config.uid) === started) starting.delete(config.uid);
      }
    },

    async adopt(config, identity, signal): Promise<RunningVmm | VmmEnd> {
      const here = watchedNow(config.uid);
      if (here?.process.pid === identity.pid && here.process.startTime === identity.startTime) return here;
      const info = await processes.inspect(identity);
      // Not there, or the pid is a stranger's by now.
      if (!info || !isOf(config)(info.argv)) return endOf(NO_EXIT);
      return keep(await adoptRunning(config, info, deps, signal));
    },

    async stop(config, identity: ProcessIdentity | undefined, signal) {
      const found = identity ? [identity] : await processes.find(isOf(config));
      for (const one of found) await endProcess(config, one, deps, signal);
      // Who was let go of before is told of no end.
      watched.delete(config.uid);
      await removeSockets(config, deps);
    },

    isProgram: (argv, exe) => isProgram(binary, argv, exe),
    consolePath: consoleLog,
    openConsole: (config, signal) => openConsoleSocket(consoleSocket(config), signal),
    paths: (config) => [qmpSocket(config), consoleSocket(config), consoleLog(config), vmmLog(config)],
  };
}
