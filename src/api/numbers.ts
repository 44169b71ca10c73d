const MAX_INT32 = 2 ** 31 - 1;

/** A count as the wire's int32: what is out of its range becomes the nearest value, so that no record breaks a list. */
export const int32 = (count: number): number =>
  Number.isNaN(count) ? 0 : Math.trunc(Math.min(MAX_INT32, Math.max(-MAX_INT32 - 1, count)));

/** A count as the wire's int64. */
export const int64 = (count: number): bigint =>
  Number.isNaN(count)
    ? 0n
    : BigInt(Math.trunc(Math.min(Number.MAX_SAFE_INTEGER, Math.max(Number.MIN_SAFE_INTEGER, count))));
