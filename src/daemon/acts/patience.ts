import type { Acts } from '../../ports/acts.ts';

/** What a timer can hold. */
const MOST_MS = 2 ** 31 - 1;

/**
 * Gives each act more time, for a slow host.
 *
 * @param patience - what each limit is multiplied by; 1 and above
 */
export const patient = (acts: Acts, patience: number): Acts => ({
  marked: (act) => acts.marked(act),
  run: ({ limit, ...act }, work) =>
    acts.run(limit ? { ...act, limit: { ...limit, ms: Math.min(limit.ms * patience, MOST_MS) } } : act, work),
});
