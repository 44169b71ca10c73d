import {
  type CgroupPath,
  cgroupPath,
  cpuQuota,
  cpusAllowed,
  hierarchicalLimit,
  hugePages,
  memoryLimit,
  upwards,
} from '../domain/cgroup-limits.ts';
import type { Files } from '../ports/host.ts';

export interface LimitsInForce {
  /** Reserved as huge pages: monitors use none, and nobody else can have them. */
  readonly hugePagesBytes?: number;
  /** The smallest limit of memory that VMMs are under; absent: none. */
  readonly memory?: {
    readonly limitBytes: number;
    /** The directory of the cgroup that has it, or the nearest that is seen of it. */
    readonly cgroup: string;
    readonly usedBytes: number;
  };
  /** How many CPUs the daemon, and so each VMM, may run on; absent: that cannot be read. */
  readonly allowedCpus?: number;
  /** How many CPUs' worth of time they have together; absent: any. */
  readonly quota?: { readonly cpus: number; readonly cgroup: string };
}

export interface LimitsOptions {
  readonly files: Pick<Files, 'read'>;
  /**
   * Where VMMs are put, of version 2: the daemon's own limits are not theirs then. Absent: they stay where the daemon
   * is, or below it.
   */
  readonly vmmsBelow?: string;
}

/** What bounds VMMs on this host beside the host itself: cgroups of both versions, and affinity. @see cgroups(7), sched(7) */
export async function limitsInForce({ files, vmmsBelow }: LimitsOptions): Promise<LimitsInForce> {
  const read = async (path: string): Promise<string> => {
    const bytes = await files.read(path).catch(() => undefined); // of a root there are no such files
    return bytes === undefined ? '' : new TextDecoder().decode(bytes).trim();
  };
  const [mountinfo, own, status, meminfo] = await Promise.all(
    ['self/mountinfo', 'self/cgroup', 'self/status', 'meminfo'].map((name) => read(`/proc/${name}`)),
  );
  const pathOf = (controller: 'memory' | 'cpu'): CgroupPath | undefined => {
    const path = cgroupPath(mountinfo ?? '', own ?? '', controller);
    return path?.version === 2 && vmmsBelow !== undefined ? { ...path, directory: vmmsBelow } : path;
  };
  const memory = await smallestMemory(pathOf('memory'), read);
  const quota = await smallestQuota(pathOf('cpu'), read);
  const allowedCpus = cpusAllowed(status ?? '');
  const hugePagesBytes = hugePages(meminfo ?? '');
  return {
    ...(hugePagesBytes > 0 && { hugePagesBytes }),
    ...(memory && { memory }),
    ...(quota && { quota }),
    ...(allowedCpus !== undefined && { allowedCpus }),
  };
}

type Read = (path: string) => Promise<string>;

async function smallestMemory(path: CgroupPath | undefined, read: Read): Promise<LimitsInForce['memory']> {
  if (!path) return undefined;
  // Above `memory.high` (systemd's MemoryHigh=) nothing is ended, and all of it is slowed down until it is below.
  const [limits, usage] =
    path.version === 1
      ? [['memory.limit_in_bytes'], 'memory.usage_in_bytes']
      : [['memory.max', 'memory.high'], 'memory.current'];
  const found = (
    await Promise.all(
      upwards(path).flatMap((cgroup) =>
        limits.map(async (limit) => {
          const set = memoryLimit(await read(`${cgroup}/${limit}`));
          return set === undefined ? [] : [{ limitBytes: set, cgroup }];
        }),
      ),
    )
  ).flat();
  // Of those above that a container does not show, version 1 tells the smallest.
  const hidden = path.version === 1 ? hierarchicalLimit(await read(`${path.directory}/memory.stat`)) : undefined;
  if (hidden !== undefined && found.every(({ limitBytes }) => limitBytes > hidden))
    found.push({ limitBytes: hidden, cgroup: path.directory });
  const [smallest] = found.toSorted((a, b) => a.limitBytes - b.limitBytes);
  return smallest && { ...smallest, usedBytes: Number(await read(`${smallest.cgroup}/${usage}`)) || 0 };
}

async function smallestQuota(path: CgroupPath | undefined, read: Read): Promise<LimitsInForce['quota']> {
  if (!path) return undefined;
  const found = await Promise.all(
    upwards(path).map(async (cgroup) => {
      const text =
        path.version === 2
          ? await read(`${cgroup}/cpu.max`)
          : `${await read(`${cgroup}/cpu.cfs_quota_us`)} ${await read(`${cgroup}/cpu.cfs_period_us`)}`;
      const cpus = cpuQuota(text);
      return cpus === undefined ? [] : [{ cpus, cgroup }];
    }),
  );
  return found.flat().toSorted((a, b) => a.cpus - b.cpus)[0];
}
