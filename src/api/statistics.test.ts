import { Code } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { startApi } from '../../test/support/api.ts';
import { SAMPLE_UID, sampleStatistics } from '../../test/support/fake-services.ts';
import { GuestService } from '../gen/flintlock/microvm/v1/guest_pb.ts';
import type { StatisticsWanted } from '../ports/guest-statistics.ts';

test('what a guest tells comes whole', async () => {
  const asked: StatisticsWanted[] = [];
  const { client } = await startApi({
    async *statistics(wanted) {
      asked.push(wanted);
      yield { ...sampleStatistics, memoryBytes: Number.MAX_SAFE_INTEGER };
    },
  });
  const samples: object[] = [];
  const interval = { seconds: 2n };
  for await (const one of client(GuestService).statistics({ uid: SAMPLE_UID, interval, processes: 5 }))
    samples.push(one);
  for await (const _ of client(GuestService).statistics({ uid: SAMPLE_UID }));
  expect(asked).toMatchObject([
    { intervalMs: 2_000, processes: 5 },
    { intervalMs: 1_000, processes: 0 },
  ]);
  expect(samples).toMatchObject([
    {
      ...{
        uptime: { seconds: 60n },
        cpuBusy: { seconds: 6n },
        memoryBytes: 9_007_199_254_740_991n,
        load: [0.5, 0.25, 0],
      },
      disks: [{ name: 'vda', readBytes: 4_096n, writtenBytes: 512n }],
      interfaces: [{ name: 'eth0', receivedBytes: 1_000n, sentBytes: 2_000n }],
      processes: [{ pid: 1, name: 'init', cpuTime: { nanos: 10_000_000 }, residentBytes: 1_048_576n }],
    },
  ]);
});

test.each([
  [{ uid: '' }, /uid: must name/],
  [{ uid: SAMPLE_UID, interval: { nanos: 1 } }, /interval/],
  [{ uid: SAMPLE_UID, interval: { seconds: 3_601n } }, /interval/],
  [{ uid: SAMPLE_UID, processes: 65 }, /processes: is 65/],
])('%s is refused', async (request, why) => {
  const { client } = await startApi();
  const read = async () => {
    for await (const _ of client(GuestService).statistics(request));
  };
  await expect(read()).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage: expect.stringMatching(why) });
});
