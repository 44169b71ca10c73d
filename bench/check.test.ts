import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROWS } from './catalogue.ts';
import { compare, merged, parseRows } from './check.ts';
import { judge, leftOut, type Row } from './row.ts';
import { type JsonRow, jsonRows } from './table.ts';

const rowOf = (name: string, budget: Row['budget']): Row => ({
  ...{ name, what: `what ${name} is`, unit: 'ms', judged: 'median', against: 'x', isFloor: false },
  budget,
});
const less = rowOf('less', { of: 'ratio', most: 2 });
const more = rowOf('more', { of: 'ratio', least: 0.7 });
const run = (lessRatio: number, moreRatio: number): readonly JsonRow[] =>
  jsonRows([judge(less, { ours: [lessRatio], reference: [1] }), judge(more, { ours: [moreRatio], reference: [1] })]);
const without = (row: Row): readonly JsonRow[] => jsonRows([leftOut(row, 'no root')]);

test('worse by over a fifth is told, of what is to be small and of what is to be great', () => {
  const stored = run(1, 1);
  expect(compare(run(1.2, 0.84), stored)).toEqual({ worse: [], compared: 2 });
  const { worse } = compare(run(1.3, 0.5), stored);
  expect(worse).toEqual([
    'less: what less is: ratio 1.30, stored 1.00: worse by 30 %',
    'more: what more is: ratio 0.50, stored 1.00: worse by 100 %',
  ]);
  expect(compare(run(0.1, 9), stored).worse).toEqual([]);
  expect(compare(run(1, 0), stored).worse).toEqual([expect.stringContaining('worse without bound')]);
});

test('what was not measured, now or then, is not compared', () => {
  expect(compare(without(less), run(1, 1))).toEqual({ worse: [], compared: 0 });
  expect(compare(run(9, 0.1), without(less))).toEqual({ worse: [], compared: 0 });
});

test('a run keeps what it left out as it was, in the order of the table', () => {
  const before = run(1, 1);
  const kept = merged([...without(less), ...run(3, 0.9).slice(1)], before, ['more', 'less']);
  expect(kept.map(({ name, ratio }) => [name, ratio])).toEqual([
    ['more', 0.9],
    ['less', 1],
  ]);
  expect(merged(without(less), [], ['less', 'more'])).toHaveLength(1);
});

test('what is no such file is refused', () => {
  expect(() => parseRows('{"less": 1}')).toThrow();
  expect(() => parseRows('[{"name": "less"}]')).toThrow();
});

test('what is stored is of rows that there are', () => {
  const names = new Set(ROWS.map(({ name }) => name));
  const stored = parseRows(readFileSync(join(import.meta.dirname, 'stored.json'), 'utf8'));
  expect(stored.filter(({ name }) => !names.has(name))).toEqual([]);
});
