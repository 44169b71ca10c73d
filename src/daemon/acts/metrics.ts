import type { Registry } from '../../base/prometheus.ts';
import type { LedgerKind } from '../../domain/ledger.ts';
import type { Act, Acts, Way } from '../../ports/acts.ts';
import type { Clock } from '../../ports/clock.ts';
import { observe } from '../metrics/observe.ts';

/** Seconds: a tap takes milliseconds, an image minutes. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800];

type Result = 'done' | 'failed' | 'cancelled';

/**
 * Measures every act, with all that is around it, such as its limit. A pull is the making of an `image-tree`.
 */
export function actMetrics(registry: Registry, clock: Clock): (acts: Acts) => Acts {
  const duration = registry.histogram(
    'flintlock_step_duration_seconds',
    'How long the steps took that make and unmake things on the host, by ledger kind, without their wait for a turn.',
    BUCKETS,
  );
  const failures = registry.counter(
    'flintlock_step_failures_total',
    'Steps that failed or ran out of time. They are tried again.',
  );
  const running = registry.gauge('flintlock_steps_in_progress', 'Steps that are being done now.');
  const pulls = registry.counter('flintlock_image_pulls_total', 'Pulls of images by how they ended.');
  for (const result of ['done', 'failed', 'cancelled']) pulls.add(0, { result });
  const pulling = registry.gauge('flintlock_image_pulls_in_progress', 'Pulls of images that go on now.');
  pulling.set(0);

  const begin = (kind: LedgerKind, way: Way): ((result: Result) => void) => {
    const labels = { step: kind, way };
    const isPull = kind === 'image-tree' && way === 'make';
    const began = clock.elapsed();
    running.add(1, labels);
    if (isPull) pulling.add(1);
    return (result) => {
      running.add(-1, labels);
      observe(duration, clock.elapsed() - began, labels);
      failures.add(result === 'failed' ? 1 : 0, labels);
      if (!isPull) return;
      pulling.add(-1);
      pulls.add(1, { result });
    };
  };

  return (acts) => ({
    marked: (act) => acts.marked(act),
    async run<T>(act: Act, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
      const end = begin(act.kind, act.way);
      try {
        const result = await acts.run(act, work);
        end('done');
        return result;
      } catch (error) {
        end(isCancelled(act.signal) ? 'cancelled' : 'failed');
        throw error;
      }
    },
  });
}

/** A limit of time that has passed is a failure; a change that came first, or the daemon's end, is none. */
const isCancelled = (signal: AbortSignal | undefined): boolean =>
  signal?.aborted === true && !(signal.reason instanceof Error && signal.reason.name === 'TimeoutError');
