import { type ChildProcess, spawn } from 'node:child_process';
import { errorMessage } from '../base/error-text.ts';
import type { Follow } from '../ports/host.ts';
import { toolEnvironment } from './environment.ts';
import { killGroup, staysWithUs } from './run.ts';

/** A line that is longer is nobody's: it is cut. */
const MAX_LINE_BYTES = 1 << 20;
const MAX_ERROR_BYTES = 4 << 10;

/** Adapter of {@link Follow}; it decides nothing. */
export const follow: Follow = ([program, ...args], { signal, onLine }) => {
  const [first, ...rest] = staysWithUs([program, ...args]);
  let child: ChildProcess;
  try {
    signal.throwIfAborted();
    child = spawn(first, rest, {
      detached: true, // a process group of its own: what the tool started is ended with it
      stdio: ['ignore', 'pipe', 'pipe'],
      env: toolEnvironment(),
    });
  } catch (error) {
    return { pid: undefined, ended: Promise.resolve(`${program} was not started: ${errorMessage(error)}`) };
  }
  let pending = '';
  let err = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (pending + chunk).split('\n');
    pending = (lines.pop() ?? '').slice(-MAX_LINE_BYTES);
    for (const line of lines) onLine(line);
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    err = (err + chunk).slice(-MAX_ERROR_BYTES);
  });
  const end = (): void => killGroup(child.pid);
  signal.addEventListener('abort', end, { once: true });
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(`${program} was not started: ${error.message}`));
    child.on('close', (code, by) => {
      if (pending !== '') onLine(pending);
      const how = code === null ? `ended by ${by}` : `ended with status ${code}`;
      resolve(`${program} ${how}${err.trim() === '' ? '' : `: ${err.trim()}`}`);
    });
  }).finally(() => signal.removeEventListener('abort', end));
  return { pid: child.pid, ended };
};
