import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { converse } from '../../src/host/converse.ts';
import { follow } from '../../src/host/follow.ts';
import { createProcesses } from '../../src/host/processes.ts';
import { run } from '../../src/host/run.ts';
import type { Converse, Follow, Processes, Run } from '../../src/ports/host.ts';

/** A network namespace of a test's own: what is made in it goes with it. */
export interface Netns extends AsyncDisposable {
  /** The process that holds it. */
  readonly pid: number;
  readonly run: Run;
  readonly follow: Follow;
  /** To keep tools in it, until it goes. */
  readonly living: { readonly converse: Converse; readonly signal: AbortSignal };
  /** What is started is started in it; what is found is found on the whole machine. */
  readonly processes: Processes;
}

/**
 * Makes one with nothing but a loopback interface that is up. It ends with
 * the test's process at the latest: its holder reads from a pipe until that closes.
 */
export async function createNetns(): Promise<Netns> {
  const holder = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(holder, 'exit');
  holder.stdin.write('is it made?\n');
  await Promise.race([
    once(holder.stdout, 'data'), // cat answers once the namespace is there
    exited.then(() => Promise.reject(new Error('cannot make a network namespace: are we root?'))),
  ]);
  const { pid } = holder;
  if (pid === undefined) throw new Error('the holder of the namespace has no pid');
  const enter = ['nsenter', '--target', String(pid), '--net', '--'] as const;
  const processes = createProcesses();
  const over = new AbortController();
  const runInside: Run = (argv, limits) => run([...enter, ...argv], limits);
  await runInside(['ip', 'link', 'set', 'lo', 'up'], { signal: AbortSignal.timeout(10_000), timeoutMs: 10_000 });
  return {
    pid,
    run: runInside,
    follow: (argv, options) => follow([...enter, ...argv], options),
    living: {
      converse: (argv, options) => converse([...enter, ...argv], options),
      signal: over.signal,
    },
    processes: { ...processes, start: (argv, options) => processes.start([...enter, ...argv], options) },
    async [Symbol.asyncDispose]() {
      over.abort();
      holder.stdin.end();
      await exited;
    },
  };
}
