import { Periodic } from '../base/periodic.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

const PURGE_MS = 600_000;
/** Events and answers are kept so long, within the store's own bound. */
const EVENTS_MS = 86_400_000;

export interface PurgeDeps {
  readonly store: Pick<Store, 'purge'>;
  readonly clock: Clock;
  readonly log: Log;
  /** How long records are kept of which nothing is left, in milliseconds. */
  readonly retainMs: number;
}

/** Forgets what is old: now, and from time to time. */
export function purgePeriodically({ store, clock, log, retainMs }: PurgeDeps): Periodic {
  return new Periodic({
    clock,
    everyMs: PURGE_MS,
    look: () => store.purge(clock.now() - retainMs, clock.now() - EVENTS_MS),
    onFailure: (error) => log.error('old records could not be removed', { error }),
  });
}
