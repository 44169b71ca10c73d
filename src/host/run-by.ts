import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { Fault } from '../domain/fault.ts';
import type { ProcessExit, Run, RunLimits } from '../ports/host.ts';
import { DIES_WITH_US, failureOf, killGroup, MAX_ERROR_BYTES, MAX_OUTPUT_BYTES, run, tooLate } from './run.ts';
import { type StartedFor, type Starter, StartFailure } from './starter.ts';

/**
 * As {@link run}, by a starter: the daemon is not forked for it. For tools that are asked often, and say little: they write
 * to files that have no name, which are read when they have ended. Where the starter cannot, it is run as ever.
 *
 * @param directory - where such files are made, best in memory
 */
export const runBy =
  (starter: Starter, directory: string): Run =>
  async (argv, limits) => {
    const { signal, input = '', env, umask } = limits;
    signal.throwIfAborted();
    if (env || umask) return run(argv, limits);
    const open: number[] = [];
    try {
      const [typed, out, err] = Array.from({ length: 3 }, () => nameless(directory, open));
      if (typed === undefined || out === undefined || err === undefined) return await run(argv, limits);
      writeSync(typed, input);
      const files = [
        { how: 'r', path: pathOf(typed) } as const,
        ...[out, err].map((fd) => ({ how: 'a', path: pathOf(fd) }) as const),
      ];
      const started = await starter.start([...DIES_WITH_US, ...argv], files, undefined).catch(orNone);
      if (!started) return await run(argv, limits);
      const exit = await ended(started, argv[0], [out, err], limits);
      if (exit.code === 0) return textIn(out, 0, MAX_OUTPUT_BYTES);
      throw await failureOf(argv, exit, textIn(err, -MAX_ERROR_BYTES, MAX_ERROR_BYTES));
    } finally {
      for (const fd of open) closeSync(fd);
    }
  };

/**
 * @param said - where it writes to
 * @throws Fault `timeout`; `tool` where it says more than there may be of it; the signal's reason: then its group is ended
 */
async function ended(
  { pid, exited }: StartedFor,
  program: string,
  said: readonly number[],
  { signal, timeoutMs }: Pick<RunLimits, 'signal' | 'timeoutMs'>,
): Promise<ProcessExit> {
  const { promise: over, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(tooLate(program, timeoutMs)), timeoutMs);
  // That none fills the memory that such files are in. Who waits for nothing else waits for its end by this, too.
  const looks = setInterval(() => {
    if (said.some((fd) => fstatSync(fd).size > MAX_OUTPUT_BYTES))
      reject(new Fault('tool', `${program} said more than ${MAX_OUTPUT_BYTES >> 20} MiB, and was ended`));
  }, LOOK_MS);
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const exit = await Promise.race([exited, over]);
    if (exit) return exit;
    throw new Fault('tool', `${program} failed: the process that had started it has ended; it is tried again`);
  } catch (error) {
    killGroup(pid);
    await exited; // nothing of it runs any more
    throw error;
  } finally {
    clearTimeout(timer);
    clearInterval(looks);
    signal.removeEventListener('abort', onAbort);
  }
}

/** How often what a tool has written is measured. */
const LOOK_MS = 100;

/** Of x86-64: include/uapi/asm-generic/fcntl.h; Node has no name for it. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * It never has a name: one that is made and unlinked would stay where the daemon is killed in between.
 * @returns undefined where there is no room for it, or the file system has no such files
 */
function nameless(directory: string, open: number[]): number | undefined {
  try {
    const fd = openSync(directory, O_TMPFILE | constants.O_RDWR, 0o600);
    open.push(fd);
    return fd;
  } catch {
    return undefined;
  }
}

const pathOf = (fd: number): string => `/proc/${process.pid}/fd/${fd}`;

const orNone = (error: unknown): undefined => {
  if (error instanceof StartFailure) return undefined;
  throw error;
};

/** @param from - below 0: counted from the end */
function textIn(fd: number, from: number, maxBytes: number): string {
  const { size } = fstatSync(fd);
  const start = from < 0 ? Math.max(0, size + from) : from;
  const buffer = Buffer.alloc(Math.min(maxBytes, size - start));
  let read = 0;
  while (read < buffer.length) {
    const more = readSync(fd, buffer, read, buffer.length - read, start + read);
    if (more === 0) break;
    read += more;
  }
  return buffer.subarray(0, read).toString();
}
