import { Fault } from '../domain/fault.ts';
import type { DeviceTraffic, GuestProcess, GuestStatistics, StatisticsWanted } from '../ports/guest-statistics.ts';
import { AGENT_FRAME, AgentDecoder, agentFrame, parseError } from './agent-frames.ts';
import type { AgentConnection } from './exec.ts';

/** As the agent has them: guest/agent/statistics.c. */
const MAX_DEVICES = 32;
const MAX_PROCESSES = 64;

/** What a guest tells of itself, over a connection of its own. See `TellsStatistics`. */
export async function* statisticsOver(
  connection: AgentConnection,
  { intervalMs, processes }: StatisticsWanted,
  signal: AbortSignal,
): AsyncGenerator<GuestStatistics> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined); // it may come when nobody waits any more
  const onAbort = (): void => {
    connection.close();
    failed.reject(signal.reason);
  };
  const request = { version: 1, op: 'statistics', statistics: { interval_ms: intervalMs, processes } };
  try {
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort, { once: true });
    const asked = connection.write(agentFrame(AGENT_FRAME.request, Buffer.from(JSON.stringify(request))));
    asked.catch(() => undefined); // that it is gone the reader tells better
    const decoder = new AgentDecoder();
    const pieces = connection.read()[Symbol.asyncIterator]();
    for (;;) {
      const next = await Promise.race([failed.promise, pieces.next()]);
      if (next.done) throw new Fault('tool', 'The guest agent tells its statistics no more');
      for (const { type, data } of decoder.push(next.value)) {
        if (type === AGENT_FRAME.statistics) yield parseStatistics(data);
        if (type === AGENT_FRAME.error)
          throw new Fault('refused', `The guest agent refused: ${clean(parseError(data), 200)}`);
      }
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    connection.close();
  }
}

/**
 * What is not there is 0, and what is more than a figure can be is cut.
 * @throws Fault `tool` for what is no object
 */
export function parseStatistics(data: Uint8Array): GuestStatistics {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(data));
  } catch {
    parsed = undefined;
  }
  if (!isRecord(parsed)) throw new Fault('tool', 'The guest agent sent statistics that are no JSON object');
  const { load } = parsed;
  const cpuMs = time(parsed.cpu_ms);
  const memory = kilobytes(parsed.memory_kb);
  return {
    upMs: time(parsed.up_ms),
    cpus: Math.min(count(parsed.cpus), 65_535),
    cpuMs,
    busyMs: Math.min(time(parsed.busy_ms), cpuMs),
    memoryBytes: memory,
    availableBytes: Math.min(kilobytes(parsed.available_kb), memory),
    swapBytes: kilobytes(parsed.swap_kb),
    swapFreeBytes: kilobytes(parsed.swap_free_kb),
    load: Array.isArray(load) ? load.slice(0, 3).map((hundredths) => count(hundredths) / 100) : [],
    rootBytes: kilobytes(parsed.root_kb),
    rootFreeBytes: kilobytes(parsed.root_free_kb),
    disks: devices(parsed.disks),
    interfaces: devices(parsed.nics),
    processCount: Math.min(count(parsed.count), 0xffff_ffff),
    processes: records(parsed.processes, MAX_PROCESSES).map(processOf),
  };
}

const devices = (value: unknown): readonly DeviceTraffic[] =>
  records(value, MAX_DEVICES).map((one) => ({
    name: clean(one.name, 31),
    bytesIn: count(one.in),
    bytesOut: count(one.out),
  }));

const processOf = (one: Readonly<Record<string, unknown>>): GuestProcess => ({
  pid: Math.min(count(one.pid), 0x7fff_ffff),
  name: clean(one.name, 15),
  cpuMs: time(one.cpu_ms),
  residentBytes: kilobytes(one.rss_kb),
});

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const records = (value: unknown, most: number): readonly Readonly<Record<string, unknown>>[] =>
  Array.isArray(value) ? value.slice(0, most).filter(isRecord) : [];

const count = (value: unknown): number =>
  typeof value === 'number' && value > 0 ? Math.min(Math.trunc(value), Number.MAX_SAFE_INTEGER) : 0;

/** Milliseconds: longer than ten thousand years is none, and no Duration either. */
const time = (value: unknown): number => Math.min(count(value), 300e12);

const kilobytes = (value: unknown): number => Math.min(count(value) * 1024, Number.MAX_SAFE_INTEGER);

/** A guest's words end on terminals. */
const clean = (value: unknown, most: number): string =>
  typeof value === 'string' ? value.slice(0, most).replace(/[^\x20-\x7e]/g, '?') : '';
