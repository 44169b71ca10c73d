import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../base/quantity.ts';

/** A month: longer is a slip. */
const MAX_MS = 31 * 24 * 3_600_000;

/**
 * A time, for commander's options: as `parseDuration` of `base/quantity.ts` reads it.
 * @returns milliseconds
 */
export function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms > MAX_MS)
    throw new InvalidArgumentError('Write for instance 500ms, 60s, 2m or 1h, at most 744h.');
  return ms;
}
