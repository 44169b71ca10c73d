import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface LongRunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Ends the program with SIGTERM. */
  readonly signal: AbortSignal;
  /** Sees each line of output; what it returns stands in the progress line from then on. */
  readonly onLine?: (line: string) => string | undefined;
}

/** How often a line of progress is printed: as the scripts do it. */
const INTERVAL_MS = 10_000;

/**
 * Runs a program that takes minutes, without a shell, and says every ten
 * seconds how far it is: `compiling: 412 files, 120 s`.
 *
 * @throws Error with the last lines of output when it fails
 */
export async function longRun(
  title: string,
  [program, ...args]: readonly [string, ...string[]],
  { cwd, env, signal, onLine }: LongRunOptions,
): Promise<void> {
  const begin = Date.now();
  const seconds = (): string => ((Date.now() - begin) / 1000).toFixed(0);
  let status = '';
  const last: string[] = [];
  const child = spawn(program, args, {
    stdio: ['inherit', 'pipe', 'pipe'],
    signal,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  });
  const timer = setInterval(() => console.log(`${title}: ${status}${status && ', '}${seconds()} s`), INTERVAL_MS);
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) => {
      status = onLine?.(line) ?? status;
      if (last.push(line) > 20) last.shift();
    });
  try {
    await new Promise<void>((resolve, reject) => {
      let cause: Error | undefined;
      child.on('error', (error) => {
        cause = error;
        if (child.pid === undefined) reject(error);
      });
      // Not before its end, also when it was asked to end: it may still write.
      child.on('close', (code, by) => {
        if (code === 0) resolve();
        else reject(cause ?? new Error(`${program} ended with ${by ?? `status ${code}`}:\n${last.join('\n')}`));
      });
    });
  } finally {
    clearInterval(timer);
  }
  console.log(`${title}: done in ${seconds()} s`);
}
