import type { Uid } from '../domain/microvm.ts';

/** How a changed record gets the engine's attention. A wake-up carries a key, no event. */
export interface Wake<K extends string = Uid> {
  /** Looks at this record soon; many wakes before the look are one. */
  wake(key: K): void;
  /** Ends the step under way first: used when a delete was accepted. */
  interrupt(key: K): void;
}
