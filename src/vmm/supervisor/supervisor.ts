import type { ProcessIdentity } from '../../ports/host.ts';
import type { BeforeGuest, RunningVmm, VmmConfig, VmmEnd } from '../../ports/vmm.ts';
import { endProcess, removeSockets } from './end-process.ts';
import { endOf, NO_EXIT } from './ends.ts';
import { adoptRunning, launch, takeOver } from './launch.ts';
import type { SupervisedDeps, SupervisedVmm } from './supervised-vmm.ts';
import { CONSOLE_TAIL, tailOf } from './tail.ts';
import type { VmmProgram } from './vmm-program.ts';

/** Starts a new process, for the config that was asked for. Resolves once it says how its guest does. */
export type Launch = (argv: readonly [string, ...string[]]) => Promise<RunningVmm>;

/** The processes of one kind of VMM: one for each microVM, whoever started it. */
export class Supervisor {
  readonly #program: VmmProgram;
  readonly #deps: SupervisedDeps;
  readonly #watched = new Map<string, SupervisedVmm>();
  readonly #starting = new Map<string, Promise<RunningVmm>>();

  constructor(program: VmmProgram, deps: SupervisedDeps) {
    this.#program = program;
    this.#deps = deps;
  }

  /**
   * As `Vmm.start`: what runs already is taken over.
   * @param begin - called where nothing runs; it launches once at most
   */
  async start(
    config: VmmConfig,
    signal: AbortSignal,
    begin: (launch: Launch) => Promise<RunningVmm>,
    before?: BeforeGuest,
  ): Promise<RunningVmm> {
    // Two at once would both find no process.
    const other = this.#starting.get(config.uid);
    const started = (async () => {
      await other?.catch(() => undefined);
      signal.throwIfAborted();
      return await this.#start(config, signal, begin, before);
    })();
    this.#starting.set(config.uid, started);
    try {
      return await started;
    } finally {
      if (this.#starting.get(config.uid) === started) this.#starting.delete(config.uid);
    }
  }

  async #start(
    config: VmmConfig,
    signal: AbortSignal,
    begin: (launch: Launch) => Promise<RunningVmm>,
    before: BeforeGuest = async () => undefined,
  ): Promise<RunningVmm> {
    const program = this.#program;
    const { files, processes, log } = this.#deps;
    const here = this.#watchedNow(config.uid);
    if (here) return here;
    // Its log is opened before a VMM is started: without one there is nothing to look for among all processes.
    const [info] = (await files.stat(program.errorLog(config))) ? await processes.find(program.isOf(config)) : [];
    if (!info)
      return begin(async (argv) => this.#keep(await launch({ program, config, argv, before }, this.#deps, signal)));
    log.info(`A ${program.name} of this microVM runs already and is taken over`, { uid: config.uid, pid: info.pid });
    await processes.moveInto(info.pid, config.cgroups ?? []); // perhaps it came no further than its start
    return this.#keep(await takeOver({ program, config, info, before }, this.#deps, signal));
  }

  /** As `Vmm.adopt`. */
  async adopt(config: VmmConfig, identity: ProcessIdentity, signal: AbortSignal): Promise<RunningVmm | VmmEnd> {
    const here = this.#watchedNow(config.uid);
    if (here?.process.pid === identity.pid && here.process.startTime === identity.startTime) return here;
    const info = await this.#deps.processes.inspect(identity);
    // Not there, or the pid is a stranger's by now.
    if (!info || !this.#program.isOf(config)(info.argv)) return await this.#unseenEnd(config, identity);
    return this.#keep(await adoptRunning(this.#program, config, info, this.#deps, signal));
  }

  async #unseenEnd(config: VmmConfig, identity: ProcessIdentity): Promise<VmmEnd> {
    const program = this.#program;
    const asOf = async (): Promise<VmmEnd | undefined> => {
      const console = await tailOf(this.#deps.files, program.consoleLog(config), 0, CONSOLE_TAIL);
      return program.endOf?.({ ...NO_EXIT, console, advice: program.runOf(config, identity, []).advice });
    };
    return (program.endOf && (await asOf())) ?? endOf({ ...NO_EXIT, program: program.name });
  }

  /** As `Vmm.stop`. */
  async stop(config: VmmConfig, identity: ProcessIdentity | undefined, signal: AbortSignal): Promise<void> {
    const found = identity ? [identity] : await this.#deps.processes.find(this.#program.isOf(config));
    for (const one of found) await endProcess(this.#program, config, one, this.#deps, signal);
    // Who was let go of before is told of no end.
    this.#watched.delete(config.uid);
    await removeSockets(this.#program, config, this.#deps);
  }

  #keep(running: SupervisedVmm): SupervisedVmm {
    this.#watched.set(running.uid, running);
    void running.ended.then(() => {
      if (this.#watched.get(running.uid) === running) this.#watched.delete(running.uid);
    });
    return running;
  }

  #watchedNow(uid: string): SupervisedVmm | undefined {
    const running = this.#watched.get(uid);
    return running?.isOver ? undefined : running;
  }
}
