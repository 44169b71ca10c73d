import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import { Fault, type Violation } from '../../domain/fault.ts';
import type {
  StatisticsRequest,
  StatisticsResponseSchema,
} from '../../gen/flintlock/microvm/v1/guest_statistics_pb.ts';
import type { GuestStatistics } from '../../ports/guest-statistics.ts';
import type { Services } from '../../service/services.ts';
import { eachUntil } from '../each-until.ts';

const MIN_INTERVAL_MS = 200;
const MAX_INTERVAL_MS = 3_600_000;
const MAX_PROCESSES = 64;

type Answer = MessageInitShape<typeof StatisticsResponseSchema>;

/** The verb Statistics of GuestService. */
export async function* statistics(
  services: Services,
  { uid, interval, processes }: StatisticsRequest,
  signal: AbortSignal,
): AsyncGenerator<Answer> {
  const intervalMs = interval ? durationMs(interval) : 1_000;
  const violations: Violation[] = [];
  if (uid === '') violations.push({ field: 'uid', description: 'must name the microvm' });
  if (!(intervalMs >= MIN_INTERVAL_MS && intervalMs <= MAX_INTERVAL_MS))
    violations.push({ field: 'interval', description: 'must be 0.2 s to 1 h' });
  if (processes > MAX_PROCESSES)
    violations.push({ field: 'processes', description: `is ${processes}, it must be at most ${MAX_PROCESSES}` });
  if (violations.length > 0) throw Fault.invalid(violations);
  for await (const one of eachUntil(signal, services.statistics({ uid, intervalMs, processes }, signal)))
    yield answerOf(one);
}

const answerOf = (one: GuestStatistics): Answer => ({
  uptime: durationFromMs(one.upMs),
  cpus: one.cpus,
  cpuTime: durationFromMs(one.cpuMs),
  cpuBusy: durationFromMs(one.busyMs),
  memoryBytes: BigInt(one.memoryBytes),
  memoryAvailableBytes: BigInt(one.availableBytes),
  swapBytes: BigInt(one.swapBytes),
  swapFreeBytes: BigInt(one.swapFreeBytes),
  load: [...one.load],
  rootBytes: BigInt(one.rootBytes),
  rootFreeBytes: BigInt(one.rootFreeBytes),
  disks: one.disks.map(({ name, bytesIn, bytesOut }) => ({
    ...{ name, readBytes: BigInt(bytesIn), writtenBytes: BigInt(bytesOut) },
  })),
  interfaces: one.interfaces.map(({ name, bytesIn, bytesOut }) => ({
    ...{ name, receivedBytes: BigInt(bytesIn), sentBytes: BigInt(bytesOut) },
  })),
  processCount: one.processCount,
  processes: one.processes.map(({ pid, name, cpuMs, residentBytes }) => ({
    ...{ pid, name, cpuTime: durationFromMs(cpuMs), residentBytes: BigInt(residentBytes) },
  })),
});
