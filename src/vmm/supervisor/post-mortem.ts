import type { Files, ProcessExit, Processes } from '../../ports/host.ts';
import type { VmmEnd } from '../../ports/vmm.ts';
import { type EndFacts, endOf, panicLine } from './ends.ts';
import type { MonitorEvent } from './monitor.ts';
import { OomWatch } from './oom-watch.ts';
import { CONSOLE_TAIL, ERRORS_TAIL, tailOf } from './tail.ts';
import type { VmmProgram } from './vmm-program.ts';

export interface PostMortemOptions {
  readonly program: Pick<VmmProgram, 'name' | 'endOf'>;
  readonly pid: number;
  readonly files: Files;
  readonly processes: Processes;
  /** The file with what the guest wrote to its console. */
  readonly console: string;
  /** The VMM's own log, and where in it this run begins. */
  readonly errors: string;
  readonly errorsFrom: number;
  readonly complain: (what: string, error: unknown) => void;
}

/** What was heard of a run before its end. */
export interface Known {
  /** What to try where nothing is seen of the guest: a sentence. */
  readonly advice: string;
  /** Why it was about to end, by the VMM's own word. */
  readonly told?: Extract<MonitorEvent, { is: 'ending' }>;
  readonly panicked: boolean;
  /** From where on the console is of the last boot. */
  readonly consoleFrom: number;
}

/** Finds out why a VMM's process has ended. What cannot be read of it is left out: its end is told all the same. */
export class PostMortem {
  readonly #options: PostMortemOptions;
  readonly #ooms: OomWatch;

  constructor(options: PostMortemOptions) {
    this.#options = options;
    this.#ooms = new OomWatch(options.processes, options.pid);
  }

  /** Remembers how often the kernel has killed for want of memory, while the process is there. */
  async count(): Promise<void> {
    try {
      await this.#ooms.count();
    } catch (error) {
      this.#options.complain(OOM_UNREAD, error);
    }
  }

  async judge(exit: ProcessExit, { advice, told, panicked, consoleFrom }: Known): Promise<VmmEnd> {
    const { program, errors: log, errorsFrom } = this.#options;
    const errors = await this.#tail(log, errorsFrom, ERRORS_TAIL);
    const isAsked = panicked || (program.endOf !== undefined && !told);
    const console = isAsked ? await this.#tail(this.#options.console, consoleFrom, CONSOLE_TAIL) : '';
    const panic = panicked ? panicLine(console) : undefined;
    const isSilent = !panicked && !told;
    const itsOwn = isSilent ? program.endOf?.({ exit, console, errors, advice }) : undefined;
    if (itsOwn) return itsOwn;
    return endOf({
      ...{ program: program.name, advice, panicked, exit, errors },
      ...(await this.#outOfMemory(exit)),
      ...(told && { told: told.end, toldWithErrors: told.withErrors ?? false }),
      ...(panic !== undefined && { panic }),
    });
  }

  async #outOfMemory(exit: ProcessExit): Promise<Pick<EndFacts, 'oomIn' | 'oomLimit'>> {
    try {
      return await this.#ooms.judge(exit);
    } catch (error) {
      this.#options.complain(OOM_UNREAD, error);
      return {};
    }
  }

  async #tail(path: string, from: number, maxBytes: number): Promise<string> {
    try {
      return await tailOf(this.#options.files, path, from, maxBytes);
    } catch (error) {
      this.#options.complain(`Cannot read ${path}`, error);
      return '';
    }
  }
}

const OOM_UNREAD = 'Cannot read what the kernel killed for want of memory';
