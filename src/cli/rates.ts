import { type Duration, durationMs } from '@bufbuild/protobuf/wkt';
import type { StatisticsResponse } from '../gen/flintlock/microvm/v1/guest_statistics_pb.ts';

/** Bytes a second. */
export interface TrafficRate {
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface ProcessRate {
  readonly pid: number;
  readonly name: string;
  /** Of one CPU. */
  readonly cpuPercent: number;
  readonly residentBytes: bigint;
}

/** What a guest used between two samples. */
export interface Rates {
  /** Of all its CPUs. */
  readonly cpuPercent: number;
  readonly disk: TrafficRate;
  readonly network: TrafficRate;
  readonly processes: readonly ProcessRate[];
}

/** Counters of a guest that has booted anew meanwhile begin at 0. */
export function ratesOf(before: StatisticsResponse, after: StatisticsResponse): Rates {
  const passed = ms(after.uptime) - ms(before.uptime);
  const seconds = passed > 0 ? passed / 1_000 : ms(after.uptime) / 1_000;
  const since = (later: bigint, earlier: bigint): number => Number(later >= earlier ? later - earlier : later);
  const perSecond = (bytes: number): number => (seconds > 0 ? bytes / seconds : 0);
  const cpu = ms(after.cpuTime) - ms(before.cpuTime);
  const busy = ms(after.cpuBusy) - ms(before.cpuBusy);
  const rate = (later: readonly Counted[], earlier: readonly Counted[]): TrafficRate => {
    const was = new Map(earlier.map((one) => [one.name, one]));
    const all = later.map(({ name, bytesIn, bytesOut }) => {
      const { bytesIn: wasIn = 0n, bytesOut: wasOut = 0n } = was.get(name) ?? {};
      return [since(bytesIn, wasIn), since(bytesOut, wasOut)] as const;
    });
    return {
      bytesIn: perSecond(all.reduce((sum, [bytes]) => sum + bytes, 0)),
      bytesOut: perSecond(all.reduce((sum, [, bytes]) => sum + bytes, 0)),
    };
  };
  return {
    cpuPercent: cpu > 0 && busy >= 0 ? (busy / cpu) * 100 : 0,
    disk: rate(disksOf(after), disksOf(before)),
    network: rate(interfacesOf(after), interfacesOf(before)),
    processes: after.processes.map(({ pid, name, cpuTime, residentBytes }) => ({
      ...{ pid, name, residentBytes },
      cpuPercent: passed > 0 ? (ms(cpuTime) / passed) * 100 : 0,
    })),
  };
}

interface Counted {
  readonly name: string;
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
}

const disksOf = ({ disks }: StatisticsResponse): Counted[] =>
  disks.map(({ name, readBytes, writtenBytes }) => ({ name, bytesIn: readBytes, bytesOut: writtenBytes }));
const interfacesOf = ({ interfaces }: StatisticsResponse): Counted[] =>
  interfaces.map(({ name, receivedBytes, sentBytes }) => ({ name, bytesIn: receivedBytes, bytesOut: sentBytes }));

const ms = (duration: Duration | undefined): number => (duration ? durationMs(duration) : 0);
