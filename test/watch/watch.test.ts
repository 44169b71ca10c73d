import { expect, test } from 'vitest';
import { proveSleepers, proveWatch } from './proof.ts';

test('many watchers of every kind lose nothing, over restarts: a sample of "npm run watch-proof"', async () => {
  const options = { watchers: 24, overEach: 4, changes: 300, restarts: 1, seed: 7, timeoutMs: 50_000 };
  const report = await proveWatch(options);
  expect(report.faults).toEqual([]);
  expect(report.rolledBack).toBeGreaterThan(0);
  expect(report.told).toBeGreaterThan(24 * 100);
  expect(report.comings).toBeGreaterThan(24);
}, 60_000);

test('a reader that stops reading is held little for, and is told when it is too late', async () => {
  for (const one of await proveSleepers(['grpc', 'http'], AbortSignal.timeout(50_000))) {
    expect(one).toMatchObject({ isTold: true, hasGap: false });
    expect(one.heldBytes).toBeLessThan(one.writtenBytes / 2);
  }
}, 60_000);
