import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import { goFirst } from './go-first.ts';

test('the daemon has a weight of its own, or says that it has not', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flintlock-weight-'));
  try {
    const log = memoryLog();
    goFirst(log, join(directory, 'autogroup'));
    expect(readFileSync(join(directory, 'autogroup'), 'utf8')).toBe('-10');
    expect(log.lines).toEqual([]);
    goFirst(log, join(directory, 'missing/autogroup'));
    expect(log.lines).toHaveLength(1);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
