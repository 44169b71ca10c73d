export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait before attempt `attempt` + 1: doubled each time up to
 * `maxMs`, of which the upper half is left to chance so that many that failed
 * together do not come back together.
 *
 * @param attempt - failures so far, from 1
 * @param random - at least 0, below 1
 */
export function backoffMs(attempt: number, random: number, options: BackoffOptions): number {
  const longest = longestBackoffMs(attempt, options);
  return Math.round(longest / 2 + (longest / 2) * random);
}

/** What `backoffMs` is at most. */
export const longestBackoffMs = (attempt: number, { firstMs, maxMs }: BackoffOptions): number =>
  Math.min(maxMs, firstMs * 2 ** Math.min(Math.max(attempt, 1) - 1, 30));
