import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { StatisticsResponseSchema } from '../gen/flintlock/microvm/v1/guest_statistics_pb.ts';
import { ratesOf } from './rates.ts';

const sample = (up: number, cpu: number, busy: number, more: MessageInitShape<typeof StatisticsResponseSchema> = {}) =>
  create(StatisticsResponseSchema, {
    ...{ uptime: durationFromMs(up), cpuTime: durationFromMs(cpu), cpuBusy: durationFromMs(busy) },
    ...more,
  });

test('what was used between two samples', () => {
  const disks = (readBytes: bigint) => [{ name: 'vda', readBytes, writtenBytes: 10n }];
  const interfaces = [{ name: 'eth0', receivedBytes: 1_000n, sentBytes: 0n }];
  const processes = [{ pid: 7, name: 'x', cpuTime: durationFromMs(1_000), residentBytes: 5n }];
  expect(
    ratesOf(
      sample(1_000, 2_000, 100, { disks: disks(0n) }),
      sample(3_000, 6_000, 1_100, { disks: disks(4_000n), interfaces, processes }),
    ),
  ).toEqual({
    cpuPercent: 25,
    disk: { bytesIn: 2_000, bytesOut: 0 },
    network: { bytesIn: 500, bytesOut: 0 },
    processes: [{ pid: 7, name: 'x', cpuPercent: 50, residentBytes: 5n }],
  });
});

test('a guest that has booted anew, and one whose clock stands still, have no rates below 0 and none without end', () => {
  const disks = [{ name: 'vda', readBytes: 4_000n, writtenBytes: 0n }];
  const after = ratesOf(
    sample(90_000, 90_000, 900, { disks: [{ ...disks[0], readBytes: 9_000n }] }),
    sample(2_000, 2_000, 1, { disks }),
  );
  expect(after).toMatchObject({ cpuPercent: 0, disk: { bytesIn: 2_000 } });
  expect(ratesOf(sample(0, 0, 0), sample(0, 0, 0, { disks }))).toMatchObject({ cpuPercent: 0, disk: { bytesIn: 0 } });
});
