import type { Files } from '../../ports/host.ts';
import type { PacketCounter } from './argv.ts';

/** @param device - one entry of QEMU's `query-blockstats` */
export function operationsIn(device: unknown): number {
  const stats = isObject(device) && isObject(device.stats) ? device.stats : {};
  return count(stats.rd_operations) + count(stats.wr_operations);
}

/** Packets that came from a guest, over all its interfaces. @see proc_net_dev(5) */
export async function packetsOf(
  files: Pick<Files, 'read'>,
  counters: readonly PacketCounter[],
): Promise<number | undefined> {
  // The file says that it is empty: it is read as far as a host with thousands of interfaces fills it.
  const bytes = await files.read('/proc/net/dev');
  if (!bytes) return undefined;
  const rows = new Map(
    new TextDecoder()
      .decode(bytes)
      .split('\n')
      .flatMap((line) => {
        const [, device, fields = ''] = /^\s*(\S+?):\s*(.*)$/.exec(line) ?? [];
        return device === undefined ? [] : [[device, fields.split(/\s+/)] as const];
      }),
  );
  // bytes, packets, errs, drop, fifo, frame, compressed, multicast; then the same of what was sent.
  return counters.reduce(
    (sum, { device, counts }) => sum + count(Number(rows.get(device)?.[counts === 'sent' ? 9 : 1])),
    0,
  );
}

const count = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;
