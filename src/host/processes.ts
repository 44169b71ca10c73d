import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '../base/error-text.ts';
import { orAborted } from '../base/or-aborted.ts';
import { Fault } from '../domain/fault.ts';
import { noRoom } from '../domain/room-words.ts';
import type { OpenFile, ProcessExit, Processes, ProcessIdentity, ProcessInfo } from '../ports/host.ts';
import { fullDisk } from './disk-room.ts';
import { oomCounter } from './oom.ts';
import { isErrno } from './run.ts';

/** How often a process that is not our child is looked at while we wait for its end. */
const LOOK_MS = 10;

/** Adapter of {@link Processes}. One for the daemon: it remembers which processes are its children. */
export function createProcesses(): Processes {
  const children = new Map<number, { startTime: string; exited: Promise<ProcessExit> }>();
  let boot: string | undefined;

  const bootId = async (): Promise<string> => {
    boot ??= (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return boot;
  };

  const look = async (pid: number): Promise<ProcessInfo | undefined> => {
    try {
      const [stat, cmdline, exe] = await Promise.all([
        readFile(`/proc/${pid}/stat`, 'utf8'),
        readFile(`/proc/${pid}/cmdline`, 'utf8'),
        readlink(`/proc/${pid}/exe`).catch(() => ''), // a zombie or a kernel thread has none
      ]);
      const { startTime, zombie } = parseStat(stat);
      const argv = cmdline.split('\0').slice(0, -1);
      return { pid, startTime, bootId: await bootId(), argv, exe, zombie };
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
      throw error;
    }
  };

  const inspect = async (identity: ProcessIdentity): Promise<ProcessInfo | undefined> => {
    if (identity.bootId !== (await bootId())) return undefined;
    const info = await look(identity.pid);
    return info && !info.zombie && info.startTime === identity.startTime ? info : undefined;
  };

  return {
    bootId,
    inspect,
    oomCounter,
    moveInto,

    async start([program, ...args], { log, output, input, directory, open = [], cgroups = [] }) {
      const id = await bootId();
      const opened: number[] = [];
      const keep = (fd: number): number => {
        opened.push(fd);
        return fd;
      };
      try {
        const errors = keep(await openLog(log));
        const out = output === undefined ? errors : keep(await openLog(output));
        const typed = input === undefined ? 'ignore' : keep(openAtOnce({ path: input }));
        const rest = open.map((file) => keep(openAtOnce(file)));
        const child = spawn(program, args, {
          detached: true,
          stdio: [typed, out, errors, ...rest],
          ...(directory !== undefined && { cwd: directory }),
          env: { PATH: process.env.PATH ?? '', LANG: 'C.UTF-8' },
        });
        const exited = new Promise<ProcessExit>((resolve) => {
          child.once('exit', (code, signal) => resolve({ code, signal, seen: true }));
        });
        const { pid } = child;
        if (pid === undefined) {
          const cause = await new Promise<NodeJS.ErrnoException>((resolve) => child.once('error', resolve));
          const why = cause.code === 'ENOENT' ? 'it is not installed or not in PATH' : cause.message;
          throw new Fault('tool', `Cannot start ${program}: ${why}`, { cause });
        }
        child.unref(); // it outlives us
        // Not yet reaped: no turn of the loop has passed, so the entry is there even if it has ended.
        const { startTime } = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
        children.set(pid, { startTime, exited });
        void exited.then(() => children.delete(pid));
        // It is another program at most by now: of its memory next to nothing is counted elsewhere.
        await moveInto(pid, cgroups).catch((error: unknown) => {
          child.kill('SIGKILL');
          throw error;
        });
        return { identity: { pid, startTime, bootId: id }, exited };
      } finally {
        for (const one of opened) closeSync(one);
      }
    },

    async find(match) {
      const found: ProcessInfo[] = [];
      for (const name of await readdir('/proc')) {
        if (!/^\d+$/.test(name)) continue;
        const info = await look(Number(name));
        if (info && !info.zombie && info.argv.length > 0 && match(info.argv)) found.push(info);
      }
      return found;
    },

    async signal(identity, isOurs, signal) {
      const info = await inspect(identity);
      if (!info) return false;
      if (!isOurs(info.argv)) {
        // One that is ending has none any more, a moment before it is a zombie; and neither has a thread of the kernel's.
        if (info.argv.length === 0) return false;
        throw new Fault('refused', `Will not send ${signal} to process ${info.pid}: its command line is not ours`);
      }
      try {
        process.kill(info.pid, signal);
        return true;
      } catch (error) {
        if (isErrno(error, 'ESRCH')) return false;
        throw error;
      }
    },

    async ended(identity, signal) {
      const child = children.get(identity.pid);
      if (child?.startTime === identity.startTime && identity.bootId === (await bootId())) {
        await orAborted(child.exited, signal);
        return;
      }
      while (await inspect(identity)) await sleep(LOOK_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    },
  };
}

/** One that has ended meanwhile is nowhere, and its end tells why. */
async function moveInto(pid: number, cgroups: readonly string[]): Promise<void> {
  for (const directory of cgroups)
    try {
      await writeFile(`${directory}/cgroup.procs`, String(pid), { flag: 'r+' });
    } catch (cause) {
      if (isErrno(cause, 'ESRCH')) return;
      const why = errorMessage(cause);
      throw new Fault('tool', `Cannot move process ${pid} into the cgroup ${directory}: ${why}`, { cause });
    }
}

async function openLog(path: string): Promise<number> {
  try {
    return openSync(path, 'a', 0o600);
  } catch (cause) {
    const failed = `Cannot open the log ${path}`;
    const full = isErrno(cause, 'EDQUOT')
      ? 'no space left in the quota of the disk'
      : isErrno(cause, 'ENOSPC') && (await fullDisk([path]));
    if (full) throw new Fault('full', `${failed}: ${noRoom(full)}`, { cause, reason: 'StorageFull' });
    throw new Fault('tool', `${failed}: ${errorMessage(cause)}`, { cause });
  }
}

/** Without waiting: a device that is not ready says so. */
function openAtOnce({ path, readOnly }: OpenFile): number {
  try {
    return openSync(path, (readOnly ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK);
  } catch (cause) {
    throw new Fault('tool', `Cannot open ${path}: ${errorMessage(cause)}`, {
      cause,
    });
  }
}

/** The program's name may hold spaces and `)`: the fields begin after the last one. State is field 3, start time 22 (proc(5)). */
function parseStat(stat: string): { startTime: string; zombie: boolean } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { startTime: fields[19] ?? '', zombie: fields[0] === 'Z' || fields[0] === 'X' };
}
