import fc from 'fast-check';
import { expect, test } from 'vitest';
import { textBars } from './bars.ts';
import { barsSvg, plotSvg, ticks } from './svg.ts';

test.each([
  [0, [0, 1]],
  [1, [0, 0.2, 0.4, 0.6, 0.8, 1]],
  [7, [0, 2, 4, 6, 8]],
  [1_000, [0, 200, 400, 600, 800, 1_000]],
])('an axis to %d', (most, marks) => {
  expect(ticks(most)).toEqual(marks);
});

test('an axis reaches to what it shows, in few steps', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1e9, noNaN: true }), (most) => {
      const marks = ticks(most);
      expect(marks.at(-1)).toBeGreaterThanOrEqual(most * (1 - 1e-8));
      expect(marks.length).toBeGreaterThan(3);
      expect(marks.length).toBeLessThan(8);
    }),
  );
});

test('a plot has every point within its picture, and no word of it is markup', () => {
  const svg = plotSvg({
    ...{ title: 'A < B & "C"', x: 'number', y: 'ms' },
    lines: [
      {
        label: 'one',
        points: [
          [0, 0],
          [10, 5],
        ],
      },
      { label: 'two', points: [[5, 2.5]] },
    ],
  });
  expect(svg).toContain('<title>A &lt; B &amp; &quot;C&quot;</title>');
  const points = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);
  // The axes begin at 0 and end at 10 and 5.
  expect(points).toEqual([
    [70, 310],
    [700, 40],
    [385, 175],
  ]);
  expect(svg.match(/<path d="M70 310L700 40"/)).not.toBeNull();
});

test('bars are as long as they are great', () => {
  const bars = [
    { label: 'tap', value: 2 },
    { label: 'vmm', value: 4 },
    { label: 'none', value: 0 },
  ];
  const widths = [...barsSvg('Steps', bars, 'ms').matchAll(/<rect x="150"[^>]* width="([\d.]+)"/g)].map(([, w]) =>
    Number(w),
  );
  expect(widths).toEqual([235, 470, 0]);
  expect(textBars(bars, 'ms', 4).split('\n')).toEqual([
    'tap       2.00 ms  ██',
    'vmm       4.00 ms  ████',
    'none      0.00 ms',
  ]);
  expect(
    textBars(
      [
        { label: 'a', value: 9 },
        { label: 'b', value: 1 },
      ],
      'ms',
      9,
    ).split('\n')[1],
  ).toMatch(/█$/);
});
