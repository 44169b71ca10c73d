import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { Fault } from '../domain/fault.ts';

/**
 * Runs a program at this process's own standard streams, without a shell, until it ends: it has the terminal meanwhile.
 *
 * @param signal - passes SIGTERM on to it; its end is waited for
 * @returns its exit status, 128 + n where the signal n ended it; undefined where there is no such program
 * @throws Fault `tool` where it cannot be started
 */
export function runForeground(
  [program, ...args]: readonly [string, ...string[]],
  { env, signal }: { readonly env: Readonly<Record<string, string | undefined>>; readonly signal: AbortSignal },
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', env });
    const stop = (): void => void child.kill('SIGTERM');
    signal.addEventListener('abort', stop, { once: true });
    child.once('error', (cause: NodeJS.ErrnoException) => {
      signal.removeEventListener('abort', stop);
      if (cause.code === 'ENOENT') resolve(undefined);
      else reject(new Fault('tool', `Cannot run ${program}: ${cause.message}`, { cause }));
    });
    child.once('exit', (code, killedBy) => {
      signal.removeEventListener('abort', stop);
      resolve(code ?? 128 + (killedBy === null ? 0 : constants.signals[killedBy]));
    });
  });
}
