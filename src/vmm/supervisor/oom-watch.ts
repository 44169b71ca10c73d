import type { OomCounter, ProcessExit, Processes } from '../../ports/host.ts';
import type { EndFacts } from './ends.ts';

/** Remembers how often the kernel has killed for want of memory, so that one kill more tells why a process is gone. */
export class OomWatch {
  readonly #processes: Pick<Processes, 'oomCounter'>;
  readonly #pid: number;
  /** As of the last look. */
  #counter: OomCounter | undefined;

  constructor(processes: Pick<Processes, 'oomCounter'>, pid: number) {
    this.#processes = processes;
    this.#pid = pid;
  }

  /** Anew each time: a process may be moved, and what befell others before is not about it. */
  async count(): Promise<void> {
    this.#counter = await this.#processes.oomCounter(this.#pid);
  }

  /** What it has to do with an exit. */
  async judge(exit: ProcessExit): Promise<Pick<EndFacts, 'oomIn' | 'oomLimit'>> {
    // Of a child the signal is known; of another nothing is.
    const isLikely = exit.signal === 'SIGKILL' || !exit.seen;
    const counter = this.#counter;
    if (!isLikely || !counter || (await counter.again()) <= counter.kills) return {};
    const full = await counter.full();
    return { oomIn: full?.cgroup ?? '', ...(full && { oomLimit: full.limitBytes }) };
  }
}
