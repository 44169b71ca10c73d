import { expect, test } from 'vitest';
import { proveKills } from '../watch/kills.ts';

test('who watches is told every change once and in order, however often the daemon is killed', async () => {
  const options = { watchers: 24, changes: 400, callers: 4, kills: 5, seed: 7, timeoutMs: 150_000 };
  const report = await proveKills(options);
  expect(report.faults).toEqual([]);
  expect(report.changes).toBeGreaterThan(500);
  expect(report.comings).toBeGreaterThan(24 * 6);
  expect(report.told).toBeGreaterThan(24 * 100);
});
