import { writeFileSync } from 'node:fs';
import type { Log } from '../ports/log.ts';

/** Some nine times the usual weight. */
const NICE = '-10';

/**
 * Lets the daemon go before its guests, so that the API is quick while they
 * boot. With automatic process groups (the kernel's default) a nice value
 * counts within a session only; what counts is the group's. A VMM has a
 * session, and so a group of its own, at the usual weight: see
 * docs/adr/0012-the-daemon-goes-first.md for why not below that.
 *
 * @see sched(7), "The autogroup feature"
 */
export function goFirst(log: Log, file = '/proc/self/autogroup'): void {
  try {
    writeFileSync(file, NICE);
  } catch (error) {
    // The kernel is made without it: nothing else than the API's speed depends on it.
    log.debug('the daemon runs at the usual weight: its autogroup cannot be set', { error });
  }
}
