import { expect, test } from 'vitest';
import { operationsIn } from './block-stats.ts';

test('reads and writes are counted; what QEMU does not tell is nothing', () => {
  expect(operationsIn({ qdev: '/machine/x', stats: { rd_operations: 3, wr_operations: 2, rd_bytes: 9 } })).toBe(5);
  for (const odd of [undefined, null, 7, {}, { stats: null }, { stats: { rd_operations: 'many' } }])
    expect(operationsIn(odd)).toBe(0);
});
