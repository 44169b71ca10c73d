import { readFile } from 'node:fs/promises';
import { memoryLimit, upwards } from '../domain/cgroup-limits.ts';
import type { OomCounter } from '../ports/host.ts';

const FS = '/sys/fs/cgroup';

/**
 * Where the kernel counts what it has killed of a process's memory cgroup.
 *
 * @param cgroups - /proc/PID/cgroup
 * @returns the files in which the count may be, best first
 * @see cgroups(7), Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst (`oom_kill`)
 */
export function oomFiles(cgroups: string): readonly { readonly file: string; readonly cgroup: string }[] {
  const rows = cgroups.split('\n').map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line));
  const files = rows.flatMap((row) => {
    const [, controllers = '', path = ''] = row ?? [];
    const cgroup = path.replace(/\/$/, '');
    if (controllers.split(',').includes('memory'))
      return [{ file: `${FS}/memory${cgroup}/memory.oom_control`, cgroup: path }];
    if (row && controllers === '')
      return [FS, `${FS}/unified`].map((root) => ({ file: `${root}${cgroup}/memory.events`, cgroup: path }));
    return [];
  });
  // The root of version 2 has no count, and a kernel without memory cgroups none at all: then the host's.
  return [...files, { file: '/proc/vmstat', cgroup: '' }];
}

const KILLS = /^oom_kill (\d+)$/m;

export async function oomCounter(pid: number): Promise<OomCounter | undefined> {
  const read = async (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
  const count = async (file: string): Promise<number | undefined> => {
    const [, kills] = KILLS.exec(await read(file)) ?? [];
    return kills === undefined ? undefined : Number(kills);
  };
  for (const { file, cgroup } of oomFiles(await read(`/proc/${pid}/cgroup`))) {
    const kills = await count(file);
    if (kills === undefined) continue;
    const path = cgroup === '' ? [] : aboveOf(file);
    const before = await Promise.all(path.map((directory) => timesFull(directory, read)));
    return {
      cgroup,
      kills,
      again: async () => (await count(file)) ?? kills,
      async full() {
        for (const [i, directory] of path.entries()) {
          if ((await timesFull(directory, read)) <= (before[i] ?? 0)) continue;
          const limits = await Promise.all(LIMITS.map(async (name) => memoryLimit(await read(`${directory}/${name}`))));
          const limitBytes = limits.find((limit) => limit !== undefined);
          if (limitBytes !== undefined) return { cgroup: directory.slice(rootOf(directory).length) || '/', limitBytes };
        }
        return undefined;
      },
    };
  }
  return undefined;
}

const LIMITS = ['memory.limit_in_bytes', 'memory.max'] as const;

/** Where a hierarchy with the memory controller begins. */
const rootOf = (directory: string): string =>
  [`${FS}/memory`, `${FS}/unified`].find((root) => directory === root || directory.startsWith(`${root}/`)) ?? FS;

/** The cgroup of a file, and those above it, nearest first. */
const aboveOf = (file: string): readonly string[] => {
  const directory = file.slice(0, file.lastIndexOf('/'));
  return upwards({ point: rootOf(directory), directory });
};

/**
 * How often a cgroup has met its own limit: not that of one above it or below.
 * @see memory.rst of version 1 (`failcnt`), cgroup-v2.rst (`memory.events.local`: `oom`)
 */
async function timesFull(directory: string, read: (path: string) => Promise<string>): Promise<number> {
  const old = Number((await read(`${directory}/memory.failcnt`)).trim());
  if (Number.isFinite(old) && old > 0) return old;
  return Number(/^oom (\d+)$/m.exec(await read(`${directory}/memory.events.local`))?.[1] ?? 0);
}
