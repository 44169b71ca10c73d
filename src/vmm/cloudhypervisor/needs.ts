import type { CgroupLimits } from '../../ports/cgroups.ts';
import type { VmmConfig } from '../../ports/vmm.ts';

/** Cloud Hypervisor itself, its devices' buffers, and what of its disks the page cache holds at least. */
const MONITOR_MB = 256;
/** Page tables of the guest's memory, ours and KVM's: 8 bytes for each 4 KiB, twice, and room. */
const TABLES = 1 / 128;
/** Its own, one or two of each device, and those of the kernel's for disks. */
const THREADS = 128;

/** The most that it may need in all: what goes beyond is no guest of ours any more, or a leak. */
export const needsOf = ({ vcpu, memoryInMb }: Pick<VmmConfig, 'vcpu' | 'memoryInMb'>): CgroupLimits => ({
  memoryInMb: memoryInMb + MONITOR_MB + Math.ceil(memoryInMb * TABLES),
  tasks: vcpu + THREADS,
});
