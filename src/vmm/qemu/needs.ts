import type { CgroupLimits } from '../../ports/cgroups.ts';
import type { VmmConfig } from '../../ports/vmm.ts';

/** QEMU itself, its devices' buffers, and what of its disks the page cache holds at least. It takes 50 to 100 MiB. */
const MONITOR_MB = 256;
/** Page tables of the guest's memory, ours and KVM's: 8 bytes for each 4 KiB, twice, and room. */
const TABLES = 1 / 128;
/** What translated code may fill: QEMU's default (tcg/region.c, DEFAULT_CODE_GEN_BUFFER_SIZE), and its index. */
const TRANSLATED_MB = 1_024 + 128;
/** QEMU's own and those of its disks: 64 at most in a pool (util/thread-pool.c, THREAD_POOL_MAX_THREADS_DEFAULT). */
const THREADS = 128;

/** The most that a QEMU may need in all: what goes beyond is no guest of ours any more, or a leak. */
export const needsOf = (
  { vcpu, memoryInMb }: Pick<VmmConfig, 'vcpu' | 'memoryInMb'>,
  accelerator: 'kvm' | 'tcg',
): CgroupLimits => ({
  memoryInMb: memoryInMb + MONITOR_MB + Math.ceil(memoryInMb * TABLES) + (accelerator === 'tcg' ? TRANSLATED_MB : 0),
  tasks: vcpu + THREADS,
});
