import { readFileSync } from 'node:fs';
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

/** The name of its file in version 1. */
const VERSION_1 = '/memory.oom_control';
const KILLS = /^oom_kill (\d+)$/m;

/** The kernel has these in memory: at once takes less than to have them read. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export async function oomCounter(pid: number): Promise<OomCounter | undefined> {
  const count = (file: string): number | undefined => {
    const [, kills] = KILLS.exec(read(file)) ?? [];
    return kills === undefined ? undefined : Number(kills);
  };
  for (const { file, cgroup } of oomFiles(read(`/proc/${pid}/cgroup`))) {
    const kills = count(file);
    if (kills === undefined) continue;
    const path = cgroup === '' ? [] : aboveOf(file);
    const timesFull = file.endsWith(VERSION_1) ? timesFull1 : timesFull2;
    const before = path.map(timesFull);
    return {
      cgroup,
      kills,
      again: async () => count(file) ?? kills,
      async full() {
        for (const [i, directory] of path.entries()) {
          if (timesFull(directory) <= (before[i] ?? 0)) continue;
          const limits = LIMITS.map((name) => memoryLimit(read(`${directory}/${name}`)));
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
const timesFull1 = (directory: string): number => Number(read(`${directory}/memory.failcnt`).trim()) || 0;
const timesFull2 = (directory: string): number =>
  Number(/^oom (\d+)$/m.exec(read(`${directory}/memory.events.local`))?.[1] ?? 0);
