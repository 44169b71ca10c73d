import { expect, test } from 'vitest';
import type { Files } from '../../ports/host.ts';
import { packetsOf } from './packets.ts';

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
