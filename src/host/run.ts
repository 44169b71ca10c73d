import { spawn } from 'node:child_process';
import { Fault } from '../domain/fault.ts';
import type { ProcessExit, Run } from '../ports/host.ts';
import { fullDisk } from './disk-room.ts';
import { toolEnvironment } from './environment.ts';

/** Tools are asked for small answers; more than this is cut, so that none can fill our memory. */
export const MAX_OUTPUT_BYTES = 32 << 20;
export const MAX_ERROR_BYTES = 16 << 10;
/** Of setTimeout; a longer one would be over at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A tool that outlived a daemon which was killed would go on writing where the next one clears up. */
export const DIES_WITH_US = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;
/**
 * For a tool that stays. Who died before the tool could ask for that signal is never told of: so it looks whether we are there
 * still, and only then becomes what is to be run, which comes as arguments.
 *
 * @param us - our process
 * @see PR_SET_PDEATHSIG(2const)
 */
export const staysWithUs = (argv: readonly string[], us: number = process.pid): readonly [string, ...string[]] => [
  ...DIES_WITH_US,
  ...['sh', '-c', 'us=$1; shift; [ "$PPID" = "$us" ] && exec "$@"', 'sh', String(us)],
  ...argv,
];
/** Nothing but a shell can set it; what is run comes as arguments. */
const WITH_UMASK = ['sh', '-c', 'umask "$0" && exec "$@"'] as const;

/** Adapter of {@link Run}; it decides nothing. */
export const run: Run = ([program, ...args], { signal, timeoutMs, input, env, umask }) =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const [first, ...rest] = [...(umask ? [...WITH_UMASK, umask] : []), ...DIES_WITH_US, program, ...args];
    const child = spawn(first ?? program, rest, {
      detached: true, // a process group of its own: what the tool started is ended with it
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { ...toolEnvironment(), ...env },
    });
    const out: Buffer[] = [];
    let outBytes = 0;
    let err = '';
    let ended: 'timeout' | 'abort' | undefined;
    const end = (why: 'timeout' | 'abort'): void => {
      ended ??= why;
      killGroup(child.pid);
      // What left the group may hold them open: nobody waits for it.
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const timer = setTimeout(() => end('timeout'), timeoutMs);
    const onAbort = (): void => end('abort');
    signal.addEventListener('abort', onAbort, { once: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    child.stdout?.on('data', (chunk: Buffer) => {
      outBytes += chunk.length;
      if (outBytes <= MAX_OUTPUT_BYTES) out.push(chunk);
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      err = (err + chunk.toString()).slice(-MAX_ERROR_BYTES);
    });
    // A tool that ends without reading its input is judged by its exit code.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      settle();
      reject(new Fault('tool', `Cannot run ${program}: setpriv: ${cause.message}`, { cause }));
    });
    child.on('close', (code, byeSignal) => {
      settle();
      if (ended === 'abort') return reject(signal.reason);
      if (ended === 'timeout') return reject(tooLate(program, timeoutMs));
      if (code === 0) return resolve(Buffer.concat(out).toString());
      failureOf([program, ...args], { code, signal: byeSignal }, err).then(reject, reject);
    });
  });

export const tooLate = (program: string, timeoutMs: number): Fault =>
  new Fault('timeout', `${program} did not end in ${timeoutMs} ms`);

/** Why a tool failed, by its end and the last that it wrote to its standard error. */
export async function failureOf(
  [program = '', ...args]: readonly string[],
  { code, signal }: Pick<ProcessExit, 'code' | 'signal'>,
  err: string,
): Promise<Fault> {
  if (code === 127 && err.startsWith(`setpriv: failed to execute ${program}: No such file`))
    return new Fault('tool', `Cannot run ${program}: it is not installed or not in PATH`);
  const how = code === null ? `ended by ${signal}` : `exit status ${code}`;
  const message = `${program} failed (${how}): ${err.trim().slice(-2_000) || 'it said nothing'}`;
  if (/Disk quota exceeded/i.test(err)) return new Fault('full', message, { reason: 'StorageFull' });
  if (!/No space left on device/i.test(err)) return new Fault('tool', message);
  // The kernel says so of many things that are no disk, too.
  const room = await fullDisk([program, ...args].flatMap(pathsIn));
  return room === undefined
    ? new Fault('tool', message)
    : new Fault('full', `${message} (${room})`, { reason: 'StorageFull' });
}

/**
 * The same with longer limits, for a slow host.
 *
 * @param patience - what each limit is multiplied by; 1 and above
 */
export const patientRun =
  (patience: number, by: Run = run): Run =>
  async (argv, limits) => {
    try {
      return await by(argv, { ...limits, timeoutMs: Math.min(limits.timeoutMs * patience, MAX_TIMER_MS) });
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== 'timeout') throw error;
      throw new Fault('timeout', `${error.message}; if this host is slow, give the daemon a larger --patience`, {
        cause: error,
      });
    }
  };

/** Absolute paths in an argument: by itself, behind an option or a transport (`--x=/y`, `dir:/y`). */
const pathsIn = (argument: string): readonly string[] => argument.match(/(?<=^|[=:])\/[^:=,]*/g) ?? [];

export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}

export const isErrno = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code));
