/** What is told of the values of one measurement. */
export interface Figures {
  readonly min: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
  readonly runs: number;
}

/** @returns undefined of nothing */
export function figuresOf(values: readonly number[]): Figures | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (rank: number): number => sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] ?? Number.NaN;
  const half = sorted.length / 2;
  return {
    min: at(1),
    // Of an even number the mean of the middle two: half of the values lie on either side.
    median: Number.isInteger(half) ? (at(half) + at(half + 1)) / 2 : at(Math.ceil(half)),
    // By the nearest rank: a value that was seen. Of fewer than 100 it is the greatest.
    p99: at(Math.ceil(sorted.length * 0.99)),
    max: at(sorted.length),
    runs: sorted.length,
  };
}

/** @returns NaN of nothing */
export const medianOf = (values: readonly number[]): number => figuresOf(values)?.median ?? Number.NaN;
