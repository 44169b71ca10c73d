import { HOST_MEMORY_MB as HOST_MIB } from '../../domain/admission.ts';
import type { Check } from '../check.ts';
import { textOf } from '../look.ts';

/** A VM of a small kernel. */
const SMALL_VM_MIB = 128;

/** Memory that can be promised to VMs. */
export const memory: Check = {
  name: 'memory',
  async examine(host) {
    const text = (await textOf(host, '/proc/meminfo')) ?? '';
    const mib = (key: string): number =>
      Math.floor(Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) / 1024);
    // Huge pages are kept for those who ask for such.
    const total = Math.max(0, mib('MemTotal') - mib('Hugetlb'));
    const available = mib('MemAvailable');
    // The daemon may be in a cgroup that has less; who runs the doctor is in another.
    const daemon = host.daemon?.capacity;
    const promised = Math.max(0, (daemon?.memoryInMb ?? total) - HOST_MIB);
    const why = daemon?.notes.map((note) => `; ${note}`).join('') ?? '';
    const found = `${total} MiB, ${available} MiB available now; ${promised} MiB can be promised to VMs${why}`;
    if (promised < SMALL_VM_MIB) {
      const fix =
        why === '' ? 'Give the host more memory' : 'Raise the limit that is named, or give the host more memory';
      return [{ name: 'memory', status: 'fail', found, fix }];
    }
    if (available < HOST_MIB)
      return [{ name: 'memory', status: 'warn', found, fix: 'End what takes it, or give the host more memory' }];
    return [{ name: 'memory', status: 'ok', found, fix: '' }];
  },
};
