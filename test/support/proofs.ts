import type { TestContext } from 'vitest';

/** Set by `npm run proofs`. */
export const isProof = process.env.FLINTLOCK_PROOFS === '1';

/**
 * Leaves a test to `npm run proofs`, where others of its kind stand for it in `npm test`, or it takes too long: it is counted as
 * skipped there.
 * @param when - whether it is one of those
 */
export function leaveToProofs({ skip }: Pick<TestContext, 'skip'>, when = true): void {
  skip(when && !isProof, 'left to npm run proofs');
}
