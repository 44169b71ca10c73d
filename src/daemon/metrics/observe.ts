import type { Histogram } from '../../base/prometheus.ts';

/** A clock that was set back measures nothing. */
export const observe = (histogram: Histogram, ms: number, labels?: Readonly<Record<string, string>>): void =>
  histogram.observe(Math.max(0, ms) / 1_000, labels);
