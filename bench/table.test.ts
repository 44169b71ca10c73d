import { expect, test } from 'vitest';
import { judge, leftOut, type Row } from './row.ts';
import { budgetText, jsonRows, markdownTable, numberText, summary, textTable } from './table.ts';

const row: Row = {
  ...{ name: 'create-exec', what: 'create | exec', unit: 'ms', judged: 'median', against: 'by hand', isFloor: true },
  budget: { of: 'ours', most: 6 },
};
const results = [
  judge(row, { ours: [4, 5, 60], reference: [1, 2, 3] }),
  judge({ ...row, name: 'worst', judged: 'max' }, { ours: [4, 50], reference: [1, 2] }),
  leftOut({ ...row, name: 'kvm', what: 'under KVM', budget: { of: 'ratio', least: 0.7 } }, 'there is no /dev/kvm'),
];

test.each([
  [0, '0'],
  [0.0042, '0.004'],
  [0.25, '0.25'],
  [12.345, '12.3'],
  [1234.5, '1235'],
  [7, '7'],
  [Number.NaN, '-'],
])('%d is written %s', (value, text) => {
  expect(numberText(value)).toBe(text);
});

test('a budget in words', () => {
  expect(budgetText({ of: 'ours', most: 6 }, 'ms')).toBe('≤ 6 ms');
  expect(budgetText({ of: 'ours', most: 3 }, '')).toBe('≤ 3');
  expect(budgetText({ of: 'ratio', least: 0.7 }, '/s')).toBe('≥ 0.7 ×');
});

test('the table for a terminal: min, median and p99 of both, and what is left out says why', () => {
  const lines = textTable(results).split('\n');
  expect(lines[0]).toMatch(/^what +unit +ours: min \/ median \/ p99 +reference +ratio +budget +runs$/);
  expect(lines[1]).toMatch(/^create \| exec +ms +4 \/ 5 \/ 60 +1 \/ 2 \/ 3 +2\.50 +≤ 6 ms +met +3$/);
  expect(lines[2]).toMatch(/4 \/ 27 \/ 50, worst 50 .* NOT met +2$/);
  expect(lines[3]).toMatch(/^under KVM +ms +- +- +- +≥ 0\.7 × +- +-$/);
  expect(lines[4]).toBe('  left out: there is no /dev/kvm');
  expect(summary(results)).toBe('bench: 1 met, 1 not met, 1 left out');
});

test('the table for a page: every line has as many cells as its head, also of words with a bar', () => {
  const lines = markdownTable(results).split('\n');
  const cells = lines.map((line) => line.match(/(?<!\\)\|/g)?.length);
  expect(new Set(cells)).toEqual(new Set([10]));
  expect(lines[2]).toContain('| create \\| exec | ms |');
  expect(lines[4]).toContain('under KVM (left out: there is no /dev/kvm)');
});

test('as a program reads it: what is judged, and null for what is not known', () => {
  const [exec, worst, kvm] = jsonRows(results);
  expect(exec).toEqual({
    name: 'create-exec',
    what: 'create | exec',
    ...{ ours: 5, reference: 2, ratio: 2.5, budget: '≤ 6 ms', met: true, unit: 'ms', runs: 3 },
    figures: {
      ours: { min: 4, median: 5, p99: 60, max: 60, runs: 3 },
      reference: { min: 1, median: 2, p99: 3, max: 3, runs: 3 },
    },
  });
  expect(worst).toMatchObject({ ours: 50, reference: 2, ratio: 25, met: false });
  expect(kvm).toMatchObject({ ours: null, reference: null, ratio: null, met: null, runs: 0 });
  expect(kvm?.note).toBe('left out: there is no /dev/kvm');
});
