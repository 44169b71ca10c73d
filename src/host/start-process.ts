import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import { noRoom } from '../domain/room-words.ts';
import type { ProcessExit, StartOptions } from '../ports/host.ts';
import { fullDisk } from './disk-room.ts';
import { parseStat } from './proc-stat.ts';
import { isErrno } from './run.ts';
import { type StartedFor, type Starter, StartFailure, type StartFile } from './starter.ts';

type Argv = readonly [string, ...string[]];

/**
 * Starts a program that outlives us, by the starter where there is one, else by ourselves.
 * @throws Fault `tool`, `full`
 */
export async function startProcess(
  argv: Argv,
  options: StartOptions,
  starter: Starter | undefined,
): Promise<StartedFor> {
  const files = filesOf(options);
  const by = await starter?.start(argv, files, options.directory).catch(async (error: unknown) => {
    if (!(error instanceof StartFailure)) throw error;
    const file = error.where === 'file' ? files[error.file] : undefined;
    if (file) throw await cannotOpen(file, error.errno);
    throw cannotStart(argv, options, error);
  });
  return by ?? (await startHere(argv, files, options));
}

/** As the program finds them open: standard input, output and error, and what more it is given. */
function filesOf({ log, output = log, input, open = [] }: StartOptions): readonly StartFile[] {
  const standard: readonly StartFile[] = [
    input === undefined ? { how: 'r', path: '/dev/null' } : { how: 'w', path: input },
    { how: 'a', path: output },
    { how: 'a', path: log },
  ];
  return [...standard, ...open.map(({ path, readOnly }): StartFile => ({ how: readOnly ? 'r' : 'w', path }))];
}

async function startHere(
  [program, ...args]: Argv,
  files: readonly StartFile[],
  options: StartOptions,
): Promise<StartedFor> {
  const opened: number[] = [];
  try {
    for (const file of files)
      try {
        opened.push(openHere(file));
      } catch (cause) {
        throw await cannotOpen(file, cause);
      }
    const child = spawn(program, args, {
      detached: true,
      stdio: opened,
      ...(options.directory !== undefined && { cwd: options.directory }),
      env: { PATH: process.env.PATH ?? '', LANG: 'C.UTF-8' },
    });
    const exited = new Promise<ProcessExit>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal, seen: true }));
    });
    const { pid } = child;
    if (pid === undefined) {
      const cause = await new Promise<NodeJS.ErrnoException>((resolve) => child.once('error', resolve));
      throw cannotStart([program], options, cause);
    }
    child.unref(); // it outlives us
    // Not yet reaped: no turn of the loop has passed, so the entry is there even if it has ended.
    return { pid, startTime: parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).startTime, exited };
  } finally {
    for (const one of opened) closeSync(one);
  }
}

/** Without waiting: a device that is not ready says so. */
function openHere({ how, path }: StartFile): number {
  if (how === 'a') return openSync(path, 'a', 0o600);
  return openSync(path, (how === 'r' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK);
}

async function cannotOpen({ how, path }: StartFile, cause: unknown): Promise<Fault> {
  if (how !== 'a') return new Fault('tool', `Cannot open ${path}: ${errorMessage(cause)}`, { cause });
  const failed = `Cannot open the log ${path}`;
  const full = isErrno(cause, 'EDQUOT')
    ? 'no space left in the quota of the disk'
    : isErrno(cause, 'ENOSPC') && (await fullDisk([path]));
  if (full) return new Fault('full', `${failed}: ${noRoom(full)}`, { cause, reason: 'StorageFull' });
  return new Fault('tool', `${failed}: ${errorMessage(cause)}`, { cause });
}

function cannotStart([program]: Argv, { directory }: StartOptions, cause: Error): Fault {
  const { code } = cause instanceof StartFailure ? cause.errno : (cause as NodeJS.ErrnoException);
  if (cause instanceof StartFailure && cause.where === 'directory')
    return new Fault('tool', `Cannot start ${program} in ${directory}: ${cause.message}`, { cause });
  const why = code === 'ENOENT' ? 'it is not installed or not in PATH' : cause.message;
  return new Fault('tool', `Cannot start ${program}: ${why}`, { cause });
}
