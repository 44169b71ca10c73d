/**
 * Loaded into a daemon that is measured (`node --import`): says over a socket
 * how late its event loop was and what it holds. What the daemon does is not
 * touched; unasked it costs nothing.
 */
import { createServer } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Of the timer that is looked at: Node counts it in. */
const RESOLUTION_MS = 1;
const NANO_A_MS = 1e6;

/** How late the event loop was since `reset`, in milliseconds. */
export interface Lateness {
  readonly p99: number;
  readonly max: number;
}

/** Bytes, after the garbage is collected. */
export interface Held {
  readonly rss: number;
  /** Of objects, and what they hold outside of the heap. */
  readonly live: number;
}

export type Question = 'reset' | 'lateness' | 'held';

const path = process.env.FLINTLOCK_BENCH_PROBE;
// For this process alone.
delete process.env.FLINTLOCK_BENCH_PROBE;
delete process.env.NODE_OPTIONS;

let delay: ReturnType<typeof monitorEventLoopDelay> | undefined;

function answer(question: string): object {
  if (question === 'reset') {
    delay ??= monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    delay.enable();
    delay.reset();
    return {};
  }
  if (question === 'lateness') {
    const late = (nanos: number): number => Math.max(0, nanos / NANO_A_MS - RESOLUTION_MS);
    const told = { p99: late(delay?.percentile(99) ?? 0), max: late(delay?.max ?? 0) } satisfies Lateness;
    delay?.disable();
    return told;
  }
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, live: heapUsed + external } satisfies Held;
}

if (path !== undefined) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (question) => socket.end(JSON.stringify(answer(String(question).trim()))));
  });
  server.listen(path);
  server.unref();
}
