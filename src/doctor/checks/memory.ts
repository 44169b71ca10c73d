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
    const total = mib('MemTotal');
    const available = mib('MemAvailable');
    const promised = Math.max(0, total - HOST_MIB);
    const found = `${total} MiB, ${available} MiB available now; ${promised} MiB can be promised to VMs`;
    if (promised < SMALL_VM_MIB) return [{ name: 'memory', status: 'fail', found, fix: 'Give the host more memory' }];
    if (available < HOST_MIB)
      return [{ name: 'memory', status: 'warn', found, fix: 'End what takes it, or give the host more memory' }];
    return [{ name: 'memory', status: 'ok', found, fix: '' }];
  },
};
