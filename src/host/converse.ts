import { type ChildProcess, spawn } from 'node:child_process';
import type { Converse } from '../ports/host.ts';
import { toolEnvironment } from './environment.ts';
import { killGroup, staysWithUs } from './run.ts';

/** One pipe for both, so that what is said keeps its order. Nothing but a shell can do it; what is run comes as arguments. */
const IN_ORDER = ['sh', '-c', 'exec "$@" 2>&1', 'sh'] as const;

/** Adapter of {@link Converse}; it decides nothing. */
export const converse: Converse = (argv, { signal, onText }) => {
  const [first, ...rest] = [...IN_ORDER, ...staysWithUs(argv)];
  let child: ChildProcess;
  try {
    signal.throwIfAborted();
    child = spawn(first, rest, {
      detached: true, // a process group of its own: what the tool started is ended with it
      stdio: ['pipe', 'pipe', 'ignore'],
      env: toolEnvironment(),
    });
  } catch {
    const nowhere = (): void => undefined;
    return { pid: undefined, say: nowhere, end: nowhere, ended: Promise.resolve({ code: null, signal: null }) };
  }
  let isOver = false;
  const end = (): void => {
    if (!isOver) killGroup(child.pid);
  };
  child.stdout?.setEncoding('utf8').on('data', onText);
  child.stdin?.on('error', () => undefined); // it has ended, which is told below
  signal.addEventListener('abort', end, { once: true });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on('error', () => resolve({ code: null, signal: null }));
    child.on('exit', () => {
      isOver = true; // the pid may be a stranger's from now on
    });
    child.on('close', (code, by) => resolve({ code, signal: by }));
  }).finally(() => signal.removeEventListener('abort', end));
  return { pid: child.pid, say: (text) => void child.stdin?.write(text), end, ended };
};
