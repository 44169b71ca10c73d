/** @param device - one entry of QEMU's `query-blockstats` */
export function operationsIn(device: unknown): number {
  const stats = isObject(device) && isObject(device.stats) ? device.stats : {};
  return count(stats.rd_operations) + count(stats.wr_operations);
}

const count = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;
