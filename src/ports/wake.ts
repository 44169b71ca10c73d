import type { Uid } from '../domain/microvm.ts';

/** How a changed record gets the engine's attention. A wake-up carries a key, no event. */
export interface Wake {
  /** Looks at this microVM soon; many wakes before the look are one. */
  wake(uid: Uid): void;
  /** Ends the step under way first: used when a delete was accepted. */
  interrupt(uid: Uid): void;
}
