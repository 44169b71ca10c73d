import { TimeLimit } from '../base/time-limit.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Follow, Run } from '../ports/host.ts';
import { failed } from './failure.ts';

export interface ScratchHands {
  readonly run: Run;
  readonly follow: Follow;
  readonly files: Files;
  readonly clock: Clock;
  /** What each limit of time is multiplied by on a slow host. Default: 1. */
  readonly patience?: number;
}

/** To make a namespace, and all that is done in it: it may wait for other namespaces' ends. */
const SCRATCH_MS = 30_000;
const LOOK_MS = 5;

/**
 * Works in a network namespace that is there for this work alone: what is made
 * in it meets nothing of the host's, and goes with it, however the daemon ends.
 */
export async function inScratch<T>(
  { run, follow, files, clock, patience = 1 }: ScratchHands,
  signal: AbortSignal,
  work: (run: Run, pid: number) => Promise<T>,
): Promise<T> {
  const limitMs = SCRATCH_MS * patience;
  using time = new TimeLimit(signal, limitMs);
  const end = new AbortController();
  const holder = follow(['unshare', '--net', '--', 'sleep', String(limitMs / 500)], {
    signal: end.signal,
    onLine: () => undefined,
  });
  let how: string | undefined;
  void holder.ended.then((words) => {
    how = words;
  });
  try {
    const { pid } = holder;
    const isMade = async (): Promise<boolean> => {
      if (pid === undefined || how !== undefined)
        throw failed(`Cannot make a network namespace: ${await holder.ended}`);
      const command = await files.read(`/proc/${pid}/cmdline`, { maxBytes: 100 });
      return command !== undefined && Buffer.from(command).toString().startsWith('sleep\0');
    };
    while (!(await isMade())) await clock.sleep(LOOK_MS, time.signal);
    if (pid === undefined) throw failed('Cannot make a network namespace');
    const inside: Run = ([program, ...args], limits) =>
      run(['nsenter', `--net=/proc/${pid}/ns/net`, '--', program, ...args], limits);
    return await work(inside, pid);
  } finally {
    end.abort();
    await holder.ended;
  }
}
