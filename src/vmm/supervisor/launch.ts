import { allDone } from '../../base/all-done.ts';
import { Fault } from '../../domain/fault.ts';
import type { ProcessExit, ProcessInfo } from '../../ports/host.ts';
import type { BeforeGuest, VmmConfig } from '../../ports/vmm.ts';
import { clearAway, removeSockets } from './end-process.ts';
import { type SupervisedDeps, SupervisedVmm } from './supervised-vmm.ts';
import { ERRORS_TAIL, lengthOf, tailOf, textOf } from './tail.ts';
import { untilConnected } from './until-connected.ts';
import type { VmmProgram } from './vmm-program.ts';

/** How long an adopted VMM may take for its first answer before it counts as unreachable. */
const ADOPT_MS = 2_000;
/** A process that has closed its socket is gone so soon, or it did not close it for that. */
const GOING_MS = 1_000;
/** sun_path has 108 bytes with its NUL (unix(7)). */
const MAX_SOCKET_PATH = 107;

interface ToLaunch {
  readonly program: VmmProgram;
  readonly config: VmmConfig;
  readonly argv: readonly [string, ...string[]];
  readonly before: BeforeGuest;
}

/**
 * Starts a VMM and resolves once it says how its guest does. The guest begins when no other VMM starts. On failure or
 * abort nothing of it is left.
 */
export async function launch(
  { program, config, argv, before }: ToLaunch,
  deps: SupervisedDeps,
  signal: AbortSignal,
): Promise<SupervisedVmm> {
  for (const path of program.sockets(config))
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
      throw new Fault('refused', `Cannot make the socket ${path}: its path is over ${MAX_SOCKET_PATH} bytes`, {
        reason: 'ProviderRefused',
      });
  signal.throwIfAborted();
  const started = await deps.starts.getReady(signal, async () => {
    const started = await startProcess(program, config, argv, deps);
    const { running } = started;
    await orNothing(started, signal, (either) => untilConnected(running, program, config, deps, either));
    return started;
  });
  const { running } = started;
  await orNothing(started, signal, async (either) => {
    await allDone([before(running.process), running.watch()]);
    await deps.starts.none(either);
    await running.begin(either);
  });
  return running;
}

/** A process that was just started, and may end at any time. */
interface Started {
  readonly running: SupervisedVmm;
  readonly exited: Promise<ProcessExit>;
  /** Waits a moment for the exit of one that has closed its socket. */
  isGoing(): Promise<void>;
  /** Ends it, and takes its sockets away. */
  clearAway(): Promise<void>;
  /** Why it has ended. */
  refusal(exit: ProcessExit): Promise<Fault>;
}

async function startProcess(
  program: VmmProgram,
  config: VmmConfig,
  argv: readonly [string, ...string[]],
  deps: SupervisedDeps,
): Promise<Started> {
  const errorLog = program.errorLog(config);
  const [errorsFrom, bootedAt] = await allDone([
    lengthOf(deps.files, errorLog),
    lengthOf(deps.files, program.consoleLog(config)),
    removeSockets(program, config, deps),
  ]);
  const start = async () => {
    await program.prepare?.(config);
    const options = { ...program.startOptions(config), log: errorLog, cgroups: config.cgroups ?? [] };
    return deps.processes.start(argv, options);
  };
  const { identity, exited } = await start().catch(async (error: unknown) => {
    await removeSockets(program, config, deps);
    throw error;
  });
  const running = new SupervisedVmm(config, identity, program, argv, deps, { exited, errorsFrom, bootedAt });
  return {
    ...{ running, exited },
    isGoing: () => isGoing(exited, deps),
    clearAway: () => clearAway(program, config, identity, deps),
    refusal: async (exit) => program.refusalOf(exit, await tailOf(deps.files, errorLog, errorsFrom, ERRORS_TAIL)),
  };
}

/**
 * Does a part of a start, within the signal and the process's life. When it fails nothing is left of the process.
 * @throws the signal's reason; why the process has ended; what `work` throws
 */
async function orNothing(
  { running, exited, isGoing, clearAway, refusal }: Started,
  signal: AbortSignal,
  work: (either: AbortSignal) => Promise<void>,
): Promise<void> {
  let gone: ProcessExit | undefined;
  const early = new AbortController();
  void exited.then((exit) => {
    gone = exit;
    early.abort();
  });
  try {
    await work(AbortSignal.any([signal, early.signal]));
    signal.throwIfAborted();
  } catch (error) {
    if (!signal.aborted && error instanceof Fault && error.reason === 'VmmUnreachable') await isGoing();
    const why = signal.aborted || !gone ? error : await refusal(gone);
    running.release();
    await clearAway();
    throw why;
  }
}

async function isGoing(exited: Promise<ProcessExit>, { clock }: Pick<SupervisedDeps, 'clock'>): Promise<void> {
  const enough = new AbortController();
  await Promise.race([exited, clock.sleep(GOING_MS, enough.signal).catch(() => undefined)]);
  enough.abort();
}

/** @returns one that is not connected yet; of the VMM's log only what comes from now on is of this run for sure */
async function runningOf(
  program: VmmProgram,
  config: VmmConfig,
  { pid, startTime, bootId, argv }: ProcessInfo,
  deps: SupervisedDeps,
): Promise<SupervisedVmm> {
  const errorsFrom = await lengthOf(deps.files, program.errorLog(config));
  return new SupervisedVmm(config, { pid, startTime, bootId }, program, argv, deps, { errorsFrom });
}

/** Takes over a VMM that runs but that nobody watches, and waits until it answers. On failure it is ended. */
export async function takeOver(
  { program, config, info, before }: Omit<ToLaunch, 'argv'> & { readonly info: ProcessInfo },
  deps: SupervisedDeps,
  signal: AbortSignal,
): Promise<SupervisedVmm> {
  const running = await runningOf(program, config, info, deps);
  const gone = new AbortController();
  const enough = new AbortController();
  const vanished = new Fault('tool', `${program.name}, process ${info.pid}, ended while it was taken over`, {
    reason: 'VmmVanished',
  });
  deps.processes.ended(running.process, enough.signal).then(
    () => gone.abort(vanished),
    () => undefined, // enough
  );
  try {
    const either = AbortSignal.any([signal, gone.signal]);
    await untilConnected(running, program, config, deps, either);
    await running.watch();
    await before(running.process);
    await running.begin(either);
    signal.throwIfAborted();
    return running;
  } catch (error) {
    running.release();
    await clearAway(program, config, running.process, deps);
    throw error;
  } finally {
    enough.abort();
  }
}

/** Watches a VMM that another daemon started. One that does not answer soon is watched all the same. */
export async function adoptRunning(
  program: VmmProgram,
  config: VmmConfig,
  info: ProcessInfo,
  deps: SupervisedDeps,
  signal: AbortSignal,
): Promise<SupervisedVmm> {
  const running = await runningOf(program, config, info, deps);
  const late = new AbortController();
  const stop = deps.clock.after(ADOPT_MS, () => late.abort());
  try {
    const either = AbortSignal.any([signal, late.signal]);
    await running.connect(either);
    await running.begin(either);
  } catch (error) {
    if (signal.aborted) {
      running.release();
      throw error;
    }
    deps.log.warn(`${program.name} does not answer; it is asked again until it does`, {
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
