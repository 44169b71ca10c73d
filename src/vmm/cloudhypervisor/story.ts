import type { VmmEvent } from './events.ts';

/** What came of a process so far, by its own events. */
export class Story {
  /** Its guest has run at some time. */
  booted = false;
  /** Its guest panicked, and has not booted since. */
  panicked = false;

  add({ what, properties }: VmmEvent): void {
    if (what === 'vm booted' || what === 'vm rebooted') {
      this.booted = true;
      this.panicked = false;
    } else if (isPanic({ what, properties })) this.panicked = true;
  }
}

/** The other one, `crash_loaded`, is a guest's that goes on to write a dump of itself. */
export const isPanic = ({ what, properties }: VmmEvent): boolean =>
  what === 'guest panic' && properties.event !== 'crash_loaded';
