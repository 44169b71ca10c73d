import { statfs } from 'node:fs/promises';
import { cpus, freemem, loadavg, totalmem } from 'node:os';
import type { Capacity, LimitSettings } from '../domain/admission.ts';
import type { LimitsInForce } from '../host/limits-in-force.ts';
import type { Config } from './settings.ts';

const MIB = 1 << 20;
/** @see statfs(2): TMPFS_MAGIC, RAMFS_MAGIC */
const IN_MEMORY: readonly number[] = [0x01021994, 0x858458f6];

/** Whether what lies there is memory. */
export const isInMemory = async (directory: string): Promise<boolean> =>
  IN_MEMORY.includes((await statfs(directory)).type);

/** What may be promised to microVMs, as the operator has set it. */
export const limitSettings = (config: Config): LimitSettings => ({
  maxMemory: config['max-memory'],
  maxVcpu: config['max-vcpu'],
  maxDisk: config['max-disk'],
  maxMicrovms: config['max-microvms'],
});

/**
 * What microVMs can have here and what is used of it, whoever uses it: CPUs by the load of the last minute, memory by
 * MemAvailable or the cgroup that bounds it, disk of the file system below the state directory. Where less is in force
 * than the host has, the notes say what and by what.
 */
export async function capacityOf(stateDirectory: string, limits: LimitsInForce): Promise<Capacity> {
  const disk = await statfs(stateDirectory);
  const mib = (blocks: number): number => Math.floor((blocks * disk.bsize) / MIB);
  const host = { vcpu: Math.max(1, cpus().length), memoryInMb: Math.floor(totalmem() / MIB) };
  const notes: string[] = [];
  let { vcpu, memoryInMb } = host;
  const { memory, allowedCpus, quota, hugePagesBytes = 0 } = limits;
  if (hugePagesBytes >= MIB) {
    const hugeMb = Math.ceil(hugePagesBytes / MIB);
    memoryInMb = Math.max(0, memoryInMb - hugeMb);
    notes.push(`memory: ${memoryInMb} of the host's ${host.memoryInMb} MiB, for ${hugeMb} are kept as huge pages`);
  }
  let usedMb = memoryInMb - Math.floor(freemem() / MIB);
  if (memory && memory.limitBytes < memoryInMb * MIB) {
    memoryInMb = Math.floor(memory.limitBytes / MIB);
    usedMb = Math.floor(memory.usedBytes / MIB);
    notes.push(`memory: ${memoryInMb} of the host's ${host.memoryInMb} MiB, the limit of cgroup ${memory.cgroup}`);
  }
  if (allowedCpus !== undefined && allowedCpus < vcpu) {
    vcpu = allowedCpus;
    notes.push(`CPUs: ${vcpu} of the host's ${host.vcpu}, by the affinity of the daemon (a cpuset, or taskset)`);
  }
  if (quota && quota.cpus < vcpu) {
    vcpu = Math.max(1, Math.floor(quota.cpus));
    notes.push(`CPUs: time of ${quota.cpus} of the host's ${host.vcpu}, the quota of cgroup ${quota.cgroup}`);
  }
  const diskIsMemory = IN_MEMORY.includes(disk.type);
  if (diskIsMemory)
    notes.push(`disk: ${stateDirectory} is in memory (tmpfs): what volumes may grow to is promised as memory too`);
  return {
    capacity: { vcpu, memoryInMb, diskInMb: mib(disk.blocks) },
    used: {
      // What waits for a CPU uses none.
      vcpu: Math.min(vcpu, Math.round(loadavg()[0] ?? 0)),
      memoryInMb: usedMb,
      diskInMb: mib(disk.blocks - disk.bfree),
    },
    diskIsMemory,
    notes,
    // 0 of 0 where they are made as they are needed.
    freeInodes: disk.files === 0 ? Number.POSITIVE_INFINITY : disk.ffree,
  };
}
