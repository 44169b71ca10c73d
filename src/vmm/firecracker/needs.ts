import type { CgroupLimits } from '../../ports/cgroups.ts';
import type { VmmConfig } from '../../ports/vmm.ts';

/** Firecracker itself, of which 5 MiB are its own, its devices' buffers, and what of its disks the page cache holds at least. */
const MONITOR_MB = 128;
/** Page tables of the guest's memory, ours and KVM's: 8 bytes for each 4 KiB, twice, and room. */
const TABLES = 1 / 128;
/** Its API's, its own, and those of the kernel's for KVM. */
const THREADS = 32;

/**
 * The most that it may need in all: what goes beyond is no guest of ours any more, or a leak.
 * @param jailKib - what its jail may take, which is in memory; absent: it has none
 */
export const needsOf = ({ vcpu, memoryInMb }: Pick<VmmConfig, 'vcpu' | 'memoryInMb'>, jailKib = 0): CgroupLimits => ({
  memoryInMb: memoryInMb + MONITOR_MB + Math.ceil(memoryInMb * TABLES) + Math.ceil(jailKib / 1024),
  tasks: vcpu + THREADS,
});
