import type { BackoffOptions } from '../base/backoff.ts';

/**
 * Between two attempts to make a microVM, and between a death and the next start: half a second to a second at first, in the
 * end up to five minutes. The formula is `base/backoff.ts`.
 */
export const ATTEMPT_BACKOFF: BackoffOptions = { firstMs: 1_000, maxMs: 300_000 };

/** Between two attempts to delete one: it is never given up, so it comes back sooner. */
export const DELETE_BACKOFF: BackoffOptions = { firstMs: 500, maxMs: 30_000 };
