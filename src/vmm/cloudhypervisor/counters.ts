import { isObject } from './machine.ts';

/**
 * Reads and writes of all disks.
 * @param counters - what `vm.counters` answers: an object for each device; of an interface it counts other things. What
 * was never measured is 2^64 - 1.
 */
export function diskOperationsIn(counters: unknown): number | undefined {
  if (!isObject(counters)) return undefined;
  return Object.values(counters).reduce<number>(
    (sum, device) => sum + (isObject(device) ? count(device.read_ops) + count(device.write_ops) : 0),
    0,
  );
}

const count = (value: unknown): number => (typeof value === 'number' && Number.isSafeInteger(value) ? value : 0);
