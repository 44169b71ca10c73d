import { Code, ConnectError } from '@connectrpc/connect';

/** The longest that a timer of Node holds: a deadline beyond it would pass at once. */
export const MAX_DEADLINE_MS = 2 ** 31 - 1;

/** In milliseconds. */
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/**
 * How long a caller waits for its answer, in milliseconds; undefined: as long as it takes.
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests
 * @throws ConnectError INVALID_ARGUMENT
 */
export function timeoutOf(header: string | readonly string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  const [, count, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(String(header)) ?? [];
  if (count === undefined)
    throw new ConnectError('Cannot read the header grpc-timeout: it is no time', Code.InvalidArgument);
  return Math.min(Number(count) * (UNITS[unit] ?? 1), MAX_DEADLINE_MS);
}

/** Aborts what is under way when the time is up. @returns how to stop it */
export function setDeadline(call: AbortController, ms: number | undefined): () => void {
  if (ms === undefined) return () => undefined;
  const pass = (): void => call.abort(new ConnectError('the operation timed out', Code.DeadlineExceeded));
  if (ms < 1) {
    pass();
    return () => undefined;
  }
  const timer = setTimeout(pass, ms);
  return () => clearTimeout(timer);
}
