import type { Files } from '../../ports/host.ts';
import type { VmmDevice } from '../../ports/meter.ts';

export interface MetricsOptions {
  /** The FIFO that Firecracker writes them to: a line of JSON each minute, and when it is asked. */
  readonly path: string;
  readonly files: Pick<Files, 'takeFrom'>;
  /** Told of what went wrong with a guest's devices since the last time, where something did. */
  readonly onFailures: (failures: ReadonlyMap<VmmDevice, number>) => void;
}

/** More is never in a FIFO. */
const MOST_BYTES = 1 << 20;
/** A line has 30 KiB with as many disks and interfaces as there may be. */
const LONGEST_LINE = 256 << 10;

/** Counted of a device's kind, each since the line before. @see src/vmm/src/devices/virtio/ of Firecracker, metrics.rs */
const FAILURES = {
  disk: ['block', 'event_fails', 'execute_fails', 'invalid_reqs_count'],
  interface: ['net', 'event_fails', 'rx_fails', 'tx_fails', 'tap_read_fails', 'tap_write_fails', 'tx_malformed_frames'],
  vsock: ['vsock', 'rx_queue_event_fails', 'tx_queue_event_fails', 'ev_queue_event_fails', 'muxer_event_fails'],
  random: ['entropy', 'entropy_event_fails', 'host_rng_fails'],
  cpu: ['vcpu', 'failures'],
} as const satisfies Readonly<Record<VmmDevice, readonly [string, ...string[]]>>;

/** What one Firecracker counts, since this was made. It holds no more of it than a FIFO does, whoever reads it or not. */
export class Metrics {
  readonly #options: MetricsOptions;
  /** A line whose end has not come. */
  #rest = '';
  #diskOperations = 0;

  constructor(options: MetricsOptions) {
    this.#options = options;
  }

  /** Reads and writes of the guest's disks. */
  get diskOperations(): number {
    return this.#diskOperations;
  }

  /** Takes what has come. @throws Fault where it is not there */
  take(): void {
    const { path, files, onFailures } = this.#options;
    const text = this.#rest + Buffer.from(files.takeFrom(path, MOST_BYTES)).toString('latin1');
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    this.#rest = rest.length > LONGEST_LINE ? '' : rest;
    const failures = new Map<VmmDevice, number>();
    for (const line of lines) this.#add(line, failures);
    if (failures.size > 0) onFailures(failures);
  }

  #add(line: string, failures: Map<VmmDevice, number>): void {
    const counts = parsed(line);
    if (!counts) return;
    this.#diskOperations += countIn(counts.block, 'read_count') + countIn(counts.block, 'write_count');
    for (const [device, [group, ...names]] of Object.entries(FAILURES)) {
      const failed = names.reduce((sum, name) => sum + countIn(counts[group], name), 0);
      if (failed > 0) failures.set(device as VmmDevice, (failures.get(device as VmmDevice) ?? 0) + failed);
    }
  }
}

/** Of a line that was cut nothing is known: nor of what somebody else wrote who has broken out of a guest. */
function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function countIn(group: unknown, name: string): number {
  const count = isObject(group) ? group[name] : undefined;
  return typeof count === 'number' && Number.isSafeInteger(count) && count > 0 ? count : 0;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
