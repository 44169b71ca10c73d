import { Fault } from '../../domain/fault.ts';
import type { ProcessExit, ProcessIdentity, ProcessInfo, Run } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { hasAcpi, openNodes, packetCounters } from './argv.ts';
import { refusalOf } from './ends.ts';
import { consoleLog, consoleSocket, isOf, qmpSocket, vmmLog } from './layout.ts';
import { Running, type RunningDeps } from './running.ts';
import { lengthOf, tailOf, textOf } from './tail.ts';

export interface LaunchDeps extends RunningDeps {
  readonly run: Run;
}

/** The first wait for QEMU's socket; QEMU greets after 20 to 120 ms. Each next one is longer by half. */
const FIRST_RETRY_MS = 4;
const MAX_RETRY_MS = 50;
/** From spawn to a running guest; 0.1 s on an idle host. The caller's signal may be shorter. */
const START_MS = 150_000;
/** How long an adopted QEMU may take for its first answer before it counts as unreachable. */
const ADOPT_MS = 2_000;
/** SIGKILL works at once, except on a process in a system call that does not end. */
const KILL_MS = 10_000;
const ERRORS_TAIL = 2_000;
/** sun_path has 108 bytes with its NUL (unix(7)). */
const MAX_SOCKET_PATH = 107;

/** Starts QEMU and resolves once it says how its guest does. On failure or abort nothing of it is left. */
export async function launch(
  config: VmmConfig,
  argv: [string, ...string[]],
  machine: { readonly binary: string; readonly accelerator: 'kvm' | 'tcg' },
  deps: LaunchDeps,
  signal: AbortSignal,
): Promise<Running> {
  for (const path of [qmpSocket(config), consoleSocket(config)])
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
      throw new Fault('refused', `Cannot make the socket ${path}: its path is over ${MAX_SOCKET_PATH} bytes`, {
        reason: 'ProviderRefused',
      });
  signal.throwIfAborted();
  await removeSockets(config, deps);
  const errorsFrom = await lengthOf(deps.files, vmmLog(config));
  const bootedAt = await lengthOf(deps.files, consoleLog(config));
  const { identity, exited } = await deps.processes.start(argv, {
    log: vmmLog(config),
    open: openNodes(config),
    cgroups: config.cgroups ?? [],
  });
  const running = new Running(config, identity, machine.accelerator, deps, {
    exited,
    errorsFrom,
    bootedAt,
    acpi: hasAcpi(argv),
    counters: packetCounters(config, argv),
  });
  try {
    let gone: ProcessExit | undefined;
    const early = new AbortController();
    void exited.then((exit) => {
      gone = exit;
      early.abort();
    });
    try {
      await untilConnected(running, config, deps, AbortSignal.any([signal, early.signal]));
    } catch (error) {
      if (signal.aborted || !gone) throw error;
      throw refusalOf(machine.binary, gone, await tailOf(deps.files, vmmLog(config), errorsFrom, ERRORS_TAIL));
    }
    await running.watch();
    signal.throwIfAborted();
    return running;
  } catch (error) {
    running.release();
    await clearAway(config, identity, deps);
    throw error;
  }
}

/** @returns one that is not connected yet; of QEMU's log only what comes from now on is of this run for sure */
async function runningOf(config: VmmConfig, info: ProcessInfo, deps: LaunchDeps): Promise<Running> {
  const { pid, startTime, bootId, argv } = info;
  // What it was started with, which may not be what we would choose today.
  const accelerator = argv[argv.indexOf('-accel') + 1] === 'kvm' ? 'kvm' : 'tcg';
  const errorsFrom = await lengthOf(deps.files, vmmLog(config));
  return new Running(config, { pid, startTime, bootId }, accelerator, deps, {
    errorsFrom,
    acpi: hasAcpi(argv),
    counters: packetCounters(config, argv),
  });
}

/** Takes over a QEMU that runs but that nobody watches, and waits until it answers. On failure it is ended. */
export async function takeOver(
  config: VmmConfig,
  info: ProcessInfo,
  deps: LaunchDeps,
  signal: AbortSignal,
): Promise<Running> {
  const running = await runningOf(config, info, deps);
  const gone = new AbortController();
  const enough = new AbortController();
  const vanished = new Fault('tool', `QEMU, process ${info.pid}, ended while it was taken over`, {
    reason: 'VmmVanished',
  });
  deps.processes.ended(running.process, enough.signal).then(
    () => gone.abort(vanished),
    () => undefined, // enough
  );
  try {
    await untilConnected(running, config, deps, AbortSignal.any([signal, gone.signal]));
    await running.watch();
    signal.throwIfAborted();
    return running;
  } catch (error) {
    running.release();
    await clearAway(config, running.process, deps);
    throw error;
  } finally {
    enough.abort();
  }
}

/** Watches a QEMU that another daemon started. One that does not answer soon is watched all the same. */
export async function adoptRunning(
  config: VmmConfig,
  info: ProcessInfo,
  deps: LaunchDeps,
  signal: AbortSignal,
): Promise<Running> {
  const running = await runningOf(config, info, deps);
  const late = new AbortController();
  const stop = deps.clock.after(ADOPT_MS, () => late.abort());
  try {
    await running.connect(AbortSignal.any([signal, late.signal]));
  } catch (error) {
    if (signal.aborted) {
      running.release();
      throw error;
    }
    deps.log.warn('QEMU does not answer; it is asked again until it does', {
      uid: config.uid,
      pid: info.pid,
      error: textOf(error),
    });
  } finally {
    stop();
  }
  await running.watch();
  return running;
}

/** Ends a process proved to be this microVM's, and waits until it is gone. */
export async function endProcess(
  config: VmmConfig,
  identity: ProcessIdentity,
  { processes, clock }: LaunchDeps,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  await processes.signal(identity, isOf(config), 'SIGKILL');
  const late = new AbortController();
  const stop = clock.after(KILL_MS, () =>
    late.abort(
      new Fault('timeout', `QEMU, process ${identity.pid}, is still there ${KILL_MS / 1000} s after SIGKILL`, {
        reason: 'Timeout',
      }),
    ),
  );
  try {
    await processes.ended(identity, AbortSignal.any([signal, late.signal]));
  } finally {
    stop();
  }
}

/** After a failure, which is what the caller must hear of; what cannot be cleared away is left to `stop`. */
async function clearAway(config: VmmConfig, identity: ProcessIdentity, deps: LaunchDeps): Promise<void> {
  try {
    await endProcess(config, identity, deps);
    await removeSockets(config, deps);
  } catch (error) {
    deps.log.warn('Cannot clear away a QEMU that did not start', {
      uid: config.uid,
      pid: identity.pid,
      error: textOf(error),
    });
  }
}

/** QEMU cannot: its user may not write to the directory. */
export async function removeSockets(config: VmmConfig, { files }: Pick<LaunchDeps, 'files'>): Promise<void> {
  await Promise.all([files.remove(qmpSocket(config)), files.remove(consoleSocket(config))]);
}

/** Tries the socket in short steps; rejects when the signal aborts or it takes too long. */
async function untilConnected(
  running: Running,
  config: VmmConfig,
  { clock }: LaunchDeps,
  signal: AbortSignal,
): Promise<void> {
  const late = new AbortController();
  const tooLate = (cause?: unknown): Fault =>
    new Fault('timeout', `QEMU did not answer on ${qmpSocket(config)} in time; it was ended`, {
      reason: 'Timeout',
      cause,
    });
  const stop = clock.after(START_MS, () => late.abort(tooLate()));
  const either = AbortSignal.any([signal, late.signal]);
  try {
    for (let step = FIRST_RETRY_MS; ; step = Math.min(step * 1.5, MAX_RETRY_MS)) {
      try {
        return await running.connect(either);
      } catch {
        either.throwIfAborted(); // else it is not there yet
      }
      await clock.sleep(step, either);
    }
  } catch (error) {
    if (error instanceof DOMException && error.name === 'TimeoutError') throw tooLate(error);
    throw error;
  } finally {
    stop();
  }
}
