import { expect, test } from 'vitest';
import { Metrics } from './metrics.ts';

function makeMetrics(...pieces: readonly string[]) {
  const left = [...pieces];
  const told: unknown[] = [];
  const metrics = new Metrics({
    path: '/run/metrics',
    files: { takeFrom: () => Buffer.from(left.shift() ?? '') },
    onFailures: (failures) => told.push(Object.fromEntries(failures)),
  });
  return { metrics, told };
}

const line = (groups: unknown): string => `${JSON.stringify(groups)}\n`;

test('reads and writes are added up, in whatever pieces they come', () => {
  const text = line({ block: { read_count: 3, write_count: 1 }, block_disk0: { read_count: 3 } });
  const { metrics, told } = makeMetrics(text + text.slice(0, 20), '', text.slice(20));
  metrics.take();
  expect(metrics.diskOperations).toBe(4);
  metrics.take();
  metrics.take();
  expect(metrics.diskOperations).toBe(8);
  expect(told).toEqual([]);
});

test('what failed is told by the kind of device, once for all lines that have come', () => {
  const { metrics, told } = makeMetrics(
    line({ block: { execute_fails: 1, invalid_reqs_count: 2 }, vcpu: { failures: 0 } }) +
      line({ net: { tap_write_fails: 5 }, block: { event_fails: 1 } }),
  );
  metrics.take();
  expect(told).toEqual([{ disk: 4, interface: 5 }]);
});

test.each([
  ['half a line', '{"block": {"read_count": 3\n'],
  ['what is no object', '[1]\nnull\n"x"\n\n'],
  ['counts that are none', line({ block: { read_count: -1, write_count: 1e99, execute_fails: 'many' }, net: [7] })],
])('%s counts for nothing', (_, text) => {
  const { metrics, told } = makeMetrics(text);
  metrics.take();
  expect([metrics.diskOperations, told]).toEqual([0, []]);
});

test('a line without an end is not kept for ever', () => {
  const { metrics } = makeMetrics('x'.repeat(300 << 10), line({ block: { read_count: 3 } }));
  metrics.take();
  metrics.take();
  expect(metrics.diskOperations).toBe(3);
});
