import { mkdtempSync, rmSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { createProcesses } from '../../src/host/processes.ts';
import type { Starter } from '../../src/host/starter.ts';

/**
 * Real processes of one test, which end with it, with a directory of theirs.
 * @param starter - what starts them; absent: this process itself
 */
export function startedBed(starter?: Starter) {
  const directory = mkdtempSync('/tmp/flt-proc-');
  const processes = createProcesses(starter);
  const started: number[] = [];
  onTestFinished(() => {
    for (const pid of started)
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has ended
      }
    starter?.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return {
    directory,
    processes,
    /** Ends it with the test. */
    own: (pid: number | undefined): void => void (pid !== undefined && started.push(pid)),
    async start(...argv: readonly [string, ...string[]]) {
      const made = await processes.start(argv, { log: `${directory}/log` });
      started.push(made.identity.pid);
      return made;
    },
  };
}
