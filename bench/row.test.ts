import { expect, test } from 'vitest';
import { type Budget, judge, type Measure, type Row } from './row.ts';

const row = (change: Partial<Row> = {}): Row => ({
  ...{ name: 'one', what: 'one thing', unit: 'ms', judged: 'median', against: 'another', isFloor: false },
  budget: { of: 'ours', most: 10 },
  ...change,
});
const met = (change: Partial<Row>, measure: Measure): boolean | undefined => judge(row(change), measure).met;

test('what is judged is within the budget or not', () => {
  expect(judge(row(), { ours: [4, 10, 30], reference: [5, 5, 5] })).toMatchObject({
    met: true,
    ratio: 2,
    ours: { median: 10, runs: 3 },
    reference: { median: 5 },
  });
  expect(met({}, { ours: [11], reference: [1] })).toBe(false);
  expect(met({ judged: 'max' }, { ours: [4, 10, 30], reference: [] })).toBe(false);
  expect(met({ judged: 'p99' }, { ours: [4, 9], reference: [] })).toBe(true);
});

test.each<[Budget, number, number, boolean]>([
  [{ of: 'ratio', most: 1.05 }, 105, 100, true],
  [{ of: 'ratio', most: 1.05 }, 106, 100, false],
  [{ of: 'ratio', least: 0.7 }, 70, 100, true],
  [{ of: 'ratio', least: 0.7 }, 69, 100, false],
  [{ of: 'ours', least: 50 }, 50, 1_000, true],
])('%j: ours %d, reference %d: %s', (budget, ours, reference, isMet) => {
  expect(met({ budget }, { ours: [ours], reference: [reference] })).toBe(isMet);
});

test('near enough to a floor is good enough, and only to a floor', () => {
  expect(met({ isFloor: true }, { ours: [13], reference: [10] })).toBe(true);
  expect(met({ isFloor: true }, { ours: [13.1], reference: [10] })).toBe(false);
  expect(met({ isFloor: false }, { ours: [13], reference: [10] })).toBe(false);
  const rate: Budget = { of: 'ours', least: 50 };
  expect(met({ isFloor: true, budget: rate }, { ours: [40], reference: [52] })).toBe(true);
  expect(met({ isFloor: true, budget: rate }, { ours: [39], reference: [52] })).toBe(false);
});

test('pairs are compared each with its own: noise that falls on both is none', () => {
  const measure = { ours: [10, 100, 20], reference: [5, 50, 10] };
  expect(judge(row(), { ...measure, paired: true }).ratio).toBe(2);
  expect(judge(row(), { ours: [10, 20, 30], reference: [10, 10, 60], paired: true }).ratio).toBe(1);
});

test('to nothing there is no ratio, and a budget of none is met by none', () => {
  const result = judge(row({ budget: { of: 'ours', most: 0 } }), { ours: [0], reference: [0] });
  expect(result.ratio).toBeUndefined();
  expect(result.met).toBe(true);
});

test('what failed on the way, or brought nothing, is not met and says so', () => {
  expect(judge(row(), { ours: [1], reference: [1], wrong: '3 were refused' })).toMatchObject({
    met: false,
    failed: true,
    note: '3 were refused',
  });
  expect(judge(row(), { ours: [], reference: [] })).toMatchObject({ met: false, failed: true });
  expect(judge(row({ budget: { of: 'ratio', most: 1 } }), { ours: [1], reference: [] }).met).toBe(false);
});
