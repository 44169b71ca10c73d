import { type ChannelListener, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Periodic } from '../../base/periodic.ts';
import type { Registry } from '../../base/prometheus.ts';
import { STARTED_FOR_US } from '../../host/starter.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';

/** The loop's delay is shown of the last one to two of these, whoever fetches it and how often. */
const WINDOW_MS = 60_000;
/** How often the loop is looked at; Node counts this time in. */
const LOOK_MS = 20;
const NANO = 1e9;
/** Node tells there of each process that is started, whoever starts it; of VMMs the starter does: none can be forgotten. */
const STARTS = ['child_process', STARTED_FOR_US] as const;

type Window = ReturnType<typeof monitorEventLoopDelay>;

/** What the daemon's process takes, by the names that Prometheus' client libraries use. */
export class ProcessMetrics {
  readonly #families: ReturnType<typeof families>;
  readonly #onStart: ChannelListener = () => this.#families.starts.add(1);
  readonly #turns: Periodic;
  #windows: readonly Window[] = [];

  constructor(registry: Registry, clock: Clock, log: Log) {
    this.#families = families(registry);
    this.#families.started.set(clock.now() / 1_000 - process.uptime());
    const limit = openFilesLimit();
    if (limit !== undefined) this.#families.maxFiles.set(limit);
    this.#families.starts.add(0);
    for (const name of STARTS) subscribe(name, this.#onStart);
    const onFailure = (error: unknown): void =>
      log.debug('the delay of the event loop could not be measured', { error });
    this.#turns = new Periodic({ clock, everyMs: WINDOW_MS, look: () => this.#turn(), onFailure }).start('now');
  }

  collect(): void {
    const { cpu, memory, heap, files, delay } = this.#families;
    const { user, system } = process.cpuUsage();
    cpu.reach((user + system) / 1e6);
    const { rss, heapUsed } = process.memoryUsage();
    memory.set(rss);
    heap.set(heapUsed);
    files.set(readdirSync('/proc/self/fd').length - 1); // one is the look itself
    const most = (figure: (window: Window) => number): number =>
      Math.max(0, ...this.#windows.filter(({ count }) => count > 0).map((one) => figure(one) / NANO - LOOK_MS / 1_000));
    delay.set(
      most((one) => one.percentile(50)),
      { stat: 'median' },
    );
    delay.set(
      most((one) => one.percentile(99)),
      { stat: 'p99' },
    );
    delay.set(
      most((one) => one.max),
      { stat: 'max' },
    );
  }

  stop(): void {
    for (const name of STARTS) unsubscribe(name, this.#onStart);
    void this.#turns.stop();
    for (const window of this.#windows) window.disable();
  }

  #turn(): void {
    const fresh = monitorEventLoopDelay({ resolution: LOOK_MS });
    fresh.enable();
    const [before] = this.#windows;
    before?.disable(); // it keeps what it saw
    this.#windows = before ? [fresh, before] : [fresh];
  }
}

function families(registry: Registry) {
  return {
    cpu: registry.counter('process_cpu_seconds_total', 'User and system CPU time of the daemon.'),
    memory: registry.gauge('process_resident_memory_bytes', 'Memory of the daemon that is in RAM.'),
    heap: registry.gauge('nodejs_heap_size_used_bytes', 'Memory that the objects of the daemon take.'),
    files: registry.gauge('process_open_fds', 'Files that the daemon holds open.'),
    maxFiles: registry.gauge('process_max_fds', 'Files that it may hold open.'),
    started: registry.gauge('process_start_time_seconds', 'When the daemon began, in seconds since 1970.'),
    starts: registry.counter(
      'flintlock_processes_started_total',
      'Processes that the daemon has started: VMMs, tools, and programs that run for as long as it does.',
    ),
    delay: registry.gauge(
      'flintlock_event_loop_delay_seconds',
      'How late the daemon came to what was due, in the last one to two minutes.',
    ),
  };
}

/** The soft limit. @see proc_pid_limits(5) */
function openFilesLimit(): number | undefined {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return soft === undefined ? undefined : Number(soft);
}
