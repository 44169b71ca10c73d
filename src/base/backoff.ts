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
export function backoffMs(attempt: number, random: number, { firstMs, maxMs }: BackoffOptions): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(full / 2 + (full / 2) * random);
}
