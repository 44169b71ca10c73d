import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROWS } from './catalogue.ts';
import { runText, withRun } from './page.ts';
import { judge } from './row.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../docs/performance.md'), 'utf8');
const [row] = ROWS;
const results = row ? [judge(row, { ours: [5], reference: [4] })] : [];
const told = {
  ...{ machine: '2 × CPU\nload before: 0.1', results, minutes: 12.34, day: '2026-11-29' },
  plots: new Map([['grows', { title: 'It grows', x: 'n', y: 'ms', lines: [] }]]),
  steps: [{ label: 'tap', value: 1 }],
};

test('a run is told with its machine, table, bars and plots', () => {
  const text = runText(told);
  for (const part of ['12.3 minutes', '- 2 × CPU', '1 met, 0 not met', 'tap', '![It grows](performance/grows.svg)'])
    expect(text).toContain(part);
});

test("the page's part is written over, again and again, and nothing else of it", () => {
  const once = withRun(PAGE, 'RUN 1');
  const twice = withRun(once, 'RUN 2');
  expect(twice).toContain('\n\nRUN 2\n\n');
  expect(twice).not.toContain('RUN 1');
  expect(twice.replace('RUN 2', 'RUN 1')).toBe(once);
  expect(() => withRun('no place', 'x')).toThrow('no lines');
});

test('the page names every row', () => {
  for (const { what } of ROWS) expect(PAGE).toContain(`| ${what}`);
});
