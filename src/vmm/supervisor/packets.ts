import type { Files } from '../../ports/host.ts';

/** Where packets of a guest are counted: of a tap, what the host has received; of a macvtap, what it has sent. */
export interface PacketCounter {
  readonly device: string;
  readonly counts: 'received' | 'sent';
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
  return counters.reduce((sum, { device, counts }) => {
    const packets = Number(rows.get(device)?.[counts === 'sent' ? 9 : 1]);
    return sum + (Number.isFinite(packets) ? packets : 0);
  }, 0);
}
