import { readFileSync } from 'node:fs';
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { allDone } from '../base/all-done.ts';
import { errorMessage } from '../base/error-text.ts';
import { orAborted } from '../base/or-aborted.ts';
import { Fault } from '../domain/fault.ts';
import type { ProcessExit, Processes, ProcessIdentity, ProcessInfo } from '../ports/host.ts';
import { oomCounter } from './oom.ts';
import { parseStat } from './proc-stat.ts';
import { isErrno } from './run.ts';
import { startProcess } from './start-process.ts';
import type { Starter } from './starter.ts';

/** How often a process that is not our child is looked at while we wait for its end. */
const LOOK_MS = 10;
/** The same of all whose starter was ended: there may be hundreds. */
const LOOK_UNSEEN_MS = 500;

/**
 * Adapter of {@link Processes}. One for the daemon: it remembers which processes are its children.
 *
 * @param starter - absent: it starts them itself
 */
export function createProcesses(starter?: Starter): Processes {
  const children = new Map<number, { startTime: string; exited: Promise<ProcessExit> }>();
  let boot: string | undefined;

  const bootId = async (): Promise<string> => {
    boot ??= (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return boot;
  };

  const look = async (pid: number): Promise<ProcessInfo | undefined> => {
    try {
      const { startTime, zombie } = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
      // These may wait for the memory of that process.
      const [cmdline, exe] = await Promise.all([
        readFile(`/proc/${pid}/cmdline`, 'utf8'),
        readlink(`/proc/${pid}/exe`).catch(() => ''), // a zombie or a kernel thread has none
      ]);
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

  /** Who would have been told how it ends is gone: that it has is seen from outside. */
  const unseen = async (identity: ProcessIdentity): Promise<ProcessExit> => {
    while (await inspect(identity)) await sleep(LOOK_UNSEEN_MS, undefined, { ref: false });
    return { code: null, signal: null, seen: false };
  };

  return {
    bootId,
    inspect,
    oomCounter,
    moveInto,

    async start(argv, options) {
      const id = await bootId();
      const { pid, startTime, exited: told } = await startProcess(argv, options, starter);
      const identity: ProcessIdentity = { pid, startTime, bootId: id };
      const exited = told.then((exit) => exit ?? unseen(identity));
      children.set(pid, { startTime, exited });
      void exited.then(() => {
        if (children.get(pid)?.startTime === startTime) children.delete(pid);
      });
      // It is another program at most by now: of its memory next to nothing is counted elsewhere.
      await moveInto(pid, options.cgroups ?? []).catch(async (error: unknown) => {
        if (await inspect(identity)) process.kill(pid, 'SIGKILL');
        throw error;
      });
      return { identity, exited };
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
  const into = async (directory: string): Promise<void> => {
    try {
      await writeFile(`${directory}/cgroup.procs`, String(pid), { flag: 'r+' });
    } catch (cause) {
      if (isErrno(cause, 'ESRCH')) return;
      const why = errorMessage(cause);
      throw new Fault('tool', `Cannot move process ${pid} into the cgroup ${directory}: ${why}`, { cause });
    }
  };
  await allDone(cgroups.map(into));
}
