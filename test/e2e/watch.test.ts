import { expect, test } from 'vitest';
import { proveKills } from '../watch/kills.ts';

test('who watches is told every change once and in order, however often the daemon is killed', async () => {
  const options = { watchers: 24, changes: 400, callers: 4, kills: 5, seed: 7, timeoutMs: 150_000 };
  const report = await proveKills(options);
  expect(report.faults).toEqual([]);
  // Each acknowledged change is one event at least; how many more depends on how far each guest comes.
  expect(report.changes).toBeGreaterThanOrEqual(options.changes);
  expect(report.kills).toBe(options.kills + 1);
  expect(report.comings).toBeGreaterThan(options.watchers * 2);
  expect(report.told).toBeGreaterThan(options.changes * 2);
});
