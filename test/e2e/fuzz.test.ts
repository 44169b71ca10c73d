import { expect, test } from 'vitest';
import { fuzz } from '../fuzz/run.ts';
import { FuzzTarget } from '../fuzz/target.ts';

test('ten seconds of hostile and clumsy callers: no crash, no INTERNAL, no leak, and others are served', async (t) => {
  const target = new FuzzTarget();
  t.onTestFinished(() => target.host.close());
  await target.start();
  const seed = Math.floor(Math.random() * 2 ** 31);
  const report = await fuzz(target, { seed, requests: 20_000, seconds: 10, from: 0, say: () => undefined });
  // Each begins with the flags of `npm run fuzz` that show it again.
  expect(report.findings, `seed ${seed}`).toEqual([]);
  expect(report.requests).toBeGreaterThan(200);
  expect(report.canary.count).toBeGreaterThan(10);
});
