import { statfs } from 'node:fs/promises';
import { availableParallelism, freemem, loadavg, totalmem } from 'node:os';
import type { Resources } from '../domain/admission.ts';

const MIB = 1 << 20;

/**
 * What the host has and what is used of it, whoever uses it: CPUs by the load
 * of the last minute, memory by MemAvailable, disk of the file system below
 * the state directory.
 */
export async function capacityOf(stateDirectory: string): Promise<{ capacity: Resources; used: Resources }> {
  const disk = await statfs(stateDirectory);
  const mib = (blocks: number): number => Math.floor((blocks * disk.bsize) / MIB);
  const vcpu = availableParallelism();
  const total = Math.floor(totalmem() / MIB);
  return {
    capacity: { vcpu, memoryInMb: total, diskInMb: mib(disk.blocks) },
    used: {
      // What waits for a CPU uses none.
      vcpu: Math.min(vcpu, Math.round(loadavg()[0] ?? 0)),
      memoryInMb: total - Math.floor(freemem() / MIB),
      diskInMb: mib(disk.blocks - disk.bfree),
    },
  };
}
