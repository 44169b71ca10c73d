import { CGROUP_CONTROLLERS, cgroupMounts, shownPath } from './cgroup-places.ts';

/** Where a process is in the hierarchy that has one controller. */
export interface CgroupPath {
  readonly version: 1 | 2;
  /** Where the hierarchy is mounted. */
  readonly point: string;
  /** The process's own, as it is seen here. */
  readonly directory: string;
}

/**
 * @param mountinfo - /proc/PID/mountinfo
 * @param own - /proc/PID/cgroup
 * @returns undefined where no hierarchy with the controller is mounted
 * @see cgroups(7)
 */
export function cgroupPath(mountinfo: string, own: string, controller: 'memory' | 'cpu'): CgroupPath | undefined {
  const mounts = cgroupMounts(mountinfo);
  const rows = own.split('\n').flatMap((line) => {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    return path === '' ? [] : [{ controllers: controllers.split(','), path }];
  });
  const old = mounts.find(({ type, options }) => type === 'cgroup' && options.includes(controller));
  if (old) {
    const path = rows.find(({ controllers }) => controllers.includes(controller))?.path ?? '/';
    return { version: 1, point: old.point, directory: `${old.point}${shownPath(old.root, path)}` };
  }
  // Beside a version 1 that has the memory controller version 2 has none.
  const isMixed = mounts.some(
    ({ type, options }) => type === 'cgroup' && CGROUP_CONTROLLERS.some((one) => options.includes(one)),
  );
  const unified = isMixed ? undefined : mounts.find(({ type }) => type === 'cgroup2');
  const path = rows.find(({ controllers }) => controllers.join() === '')?.path ?? '/';
  return unified && { version: 2, point: unified.point, directory: `${unified.point}${shownPath(unified.root, path)}` };
}

/** A cgroup and those above it, as far as they are seen here, nearest first. */
export function upwards({ point, directory }: Pick<CgroupPath, 'point' | 'directory'>): readonly string[] {
  const found: string[] = [];
  for (let at = directory; at.length >= point.length; at = at.slice(0, at.lastIndexOf('/'))) found.push(at);
  return found;
}

/** `memory.max`, `memory.limit_in_bytes`, or a row of `memory.stat`: in bytes; undefined: none is set. */
export function memoryLimit(text: string): number | undefined {
  const bytes = Number(/^\s*(\d+)\s*$/.exec(text)?.[1]);
  // Version 1 says "none" by a number near 2^63.
  return Number.isFinite(bytes) && bytes < 2 ** 60 ? bytes : undefined;
}

/** The limit that holds of all above, also of those that are not seen here (version 1). */
export const hierarchicalLimit = (memoryStat: string): number | undefined =>
  memoryLimit(/^hierarchical_memory_limit (\d+)$/m.exec(memoryStat)?.[1] ?? '');

/** What `Hugetlb` of /proc/meminfo says, of all sizes together; 0 where a kernel before 4.20 does not say it. */
export const hugePages = (meminfo: string): number => Number(/^Hugetlb:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1_024;

/** How many CPUs' worth of time: `cpu.max`, or quota and period of version 1 behind each other; undefined: any. */
export function cpuQuota(text: string): number | undefined {
  const [quota, period] = text.trim().split(/\s+/).map(Number);
  if (quota === undefined || period === undefined || !(quota > 0) || !(period > 0)) return undefined;
  return quota / period;
}

/** `0-3,8` in the `Cpus_allowed_list` of /proc/PID/status; undefined where it cannot be read. */
export function cpusAllowed(status: string): number | undefined {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1];
  if (list === undefined) return undefined;
  return list.split(',').reduce((sum, part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return sum + (last - first + 1);
  }, 0);
}
