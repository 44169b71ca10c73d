import fc from 'fast-check';
import { expect, test } from 'vitest';
import { figuresOf, medianOf } from './figures.ts';

test('of nothing there is no figure', () => {
  expect(figuresOf([])).toBeUndefined();
  expect(medianOf([])).toBeNaN();
});

test.each([
  [[7], { min: 7, median: 7, p99: 7, max: 7, runs: 1 }],
  [[3, 1], { min: 1, median: 2, p99: 3, max: 3, runs: 2 }],
  [[10, 9, 100], { min: 9, median: 10, p99: 100, max: 100, runs: 3 }],
])('the figures of %j', (values, figures) => {
  expect(figuresOf(values)).toEqual(figures);
});

test('p99 is a value that was seen: of 100 the second greatest, of 200 the third', () => {
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
  expect(figuresOf(upTo(100))?.p99).toBe(99);
  expect(figuresOf(upTo(200))?.p99).toBe(198);
  expect(figuresOf(upTo(99))?.p99).toBe(99);
});

test('half of the values lie on either side of the median, whatever their order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
      const median = medianOf(values);
      const below = values.filter((value) => value < median).length;
      const above = values.filter((value) => value > median).length;
      expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2);
      expect(values).toContain(figuresOf(values)?.p99);
    }),
  );
});
