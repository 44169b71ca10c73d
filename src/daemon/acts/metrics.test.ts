import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { parseExposition } from '../../../test/support/prometheus.ts';
import { Registry } from '../../base/prometheus.ts';
import { Fault } from '../../domain/fault.ts';
import { DIRECT } from '../../ports/acts.ts';
import { limited } from './limits.ts';
import { actMetrics } from './metrics.ts';

function measured() {
  const registry = new Registry();
  const clock = new FakeClock();
  const acts = actMetrics(registry, clock)(limited(DIRECT));
  return { clock, acts, value: (series: string) => parseExposition(registry.text()).values.get(series) };
}

const TAP = '{step="tap",way="make"}';

test('an act is counted while it goes on, and how long it took', async () => {
  const { clock, acts, value } = measured();
  const result = await acts.run({ kind: 'tap', way: 'make' }, async () => {
    expect(value(`flintlock_steps_in_progress${TAP}`)).toBe(1);
    clock.advance(30);
    return 'made';
  });
  expect(result).toBe('made');
  expect(value(`flintlock_steps_in_progress${TAP}`)).toBe(0);
  expect(value(`flintlock_step_duration_seconds_sum${TAP}`)).toBe(0.03);
  expect(value('flintlock_step_duration_seconds_bucket{step="tap",way="make",le="0.025"}')).toBe(0);
  expect(value('flintlock_step_duration_seconds_bucket{step="tap",way="make",le="0.05"}')).toBe(1);
  expect(value(`flintlock_step_failures_total${TAP}`)).toBe(0);
});

test.each([
  ['a fault', undefined, 1],
  ['the end of its time', AbortSignal.abort(new DOMException('late', 'TimeoutError')), 1],
  ['a change that came first', AbortSignal.abort(new Error('another change came first')), 0],
] as const)('%s is a failure: %#', async (_what, signal, failures) => {
  const { acts, value } = measured();
  const error = new Fault('tool', 'no');
  const act = () =>
    acts.run({ kind: 'image-tree', way: 'make', ...(signal && { signal }) }, () => Promise.reject(error));
  await expect(act()).rejects.toBe(error);
  expect(value('flintlock_step_failures_total{step="image-tree",way="make"}')).toBe(failures);
  expect(value('flintlock_image_pulls_total{result="failed"}')).toBe(failures);
  expect(value('flintlock_image_pulls_total{result="cancelled"}')).toBe(1 - failures);
  expect(value('flintlock_image_pulls_total{result="done"}')).toBe(0);
  expect(value('flintlock_image_pulls_in_progress')).toBe(0);
});

test('the end of its own time is a failure, though nobody came first', async () => {
  const { acts, value } = measured();
  const limit = { ms: 1, late: () => new Fault('timeout', 'late') };
  const work = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  await expect(acts.run({ kind: 'tap', way: 'make', limit }, work)).rejects.toMatchObject({ kind: 'timeout' });
  expect(value(`flintlock_step_failures_total${TAP}`)).toBe(1);
});

test('only the making of an image is a pull, and a clock that is set back takes no time away', async () => {
  const { clock, acts, value } = measured();
  await acts.run({ kind: 'image-tree', way: 'unmake' }, async () => clock.set(0));
  expect(value('flintlock_image_pulls_total{result="done"}')).toBe(0);
  expect(value('flintlock_step_duration_seconds_sum{step="image-tree",way="unmake"}')).toBe(0);
  await acts.run({ kind: 'image-tree', way: 'make' }, async () => undefined);
  expect(value('flintlock_image_pulls_total{result="done"}')).toBe(1);
});
