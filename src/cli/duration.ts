import { InvalidArgumentError } from 'commander';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
/** A month: longer is a slip. */
const MAX_MS = 31 * 24 * 3_600_000;

/**
 * Parses `500ms`, `60s`, `2m`, `1h`, or a number of seconds; for commander's options.
 * @returns milliseconds
 */
export function parseDuration(text: string): number {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const ms = Number(found?.[1] ?? Number.NaN) * (UNIT_MS[found?.[2] ?? 's'] ?? Number.NaN);
  if (!Number.isFinite(ms) || ms > MAX_MS)
    throw new InvalidArgumentError('Write for instance 500ms, 60s, 2m or 1h, at most 744h.');
  return Math.round(ms);
}
