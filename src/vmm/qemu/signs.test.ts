import { expect, test } from 'vitest';
import type { Files } from '../../ports/host.ts';
import { operationsIn, packetsOf } from './signs.ts';

test('reads and writes are counted; what QEMU does not tell is nothing', () => {
  expect(operationsIn({ qdev: '/machine/x', stats: { rd_operations: 3, wr_operations: 2, rd_bytes: 9 } })).toBe(5);
  for (const odd of [undefined, null, 7, {}, { stats: null }, { stats: { rd_operations: 'many' } }])
    expect(operationsIn(odd)).toBe(0);
});

const PROC = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
flabcd01:  5000      42    0    0    0     0          0         0      700      11    0    0    0     0       0          0
`;

test('of a tap what the host received is the guest’s, of a macvtap what it sent', async () => {
  const files: Pick<Files, 'read'> = { read: async () => Buffer.from(PROC) };
  const device = 'flabcd01';
  expect(await packetsOf(files, [{ device, counts: 'received' }])).toBe(42);
  expect(
    await packetsOf(files, [
      { device, counts: 'sent' },
      { device: 'lo', counts: 'received' },
    ]),
  ).toBe(12);
  expect(await packetsOf(files, [{ device: 'gone', counts: 'received' }])).toBe(0);
  expect(await packetsOf({ read: async () => undefined }, [{ device, counts: 'sent' }])).toBeUndefined();
});
