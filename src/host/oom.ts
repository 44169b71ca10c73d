import { readFile } from 'node:fs/promises';
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
    if (kills !== undefined) return { cgroup, kills, again: async () => (await count(file)) ?? kills };
  }
  return undefined;
}
