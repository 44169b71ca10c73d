import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const BENCH = join(import.meta.dirname, '../../../bench/lists.ts');

test('a hundred Lists at once over one connection, with Gets beside them: none is refused', () => {
  const { stdout, stderr, status } = spawnSync(process.execPath, [BENCH, '100', '20000'], {
    encoding: 'utf8',
    timeout: 170_000,
  });
  // At once, and how many of them failed.
  const rounds = [...stdout.matchAll(/^ +(\d+) +(\d+) +[\d.]+ /gm)].map(([, atOnce, failed]) => [atOnce, failed]);
  expect({ status, stderr, rounds }).toEqual({
    ...{ status: 0, stderr: '' },
    rounds: ['1', '8', '32', '100'].map((atOnce) => [atOnce, '0']),
  });
});
