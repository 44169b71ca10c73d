import type { StateName } from '../domain/microvm.ts';
import type { Reason } from '../domain/reason.ts';

/** What operators count, told where it happens. Takes next to no time and never throws. */
export interface Meter {
  /** Whether a registry, or a directory, has said what a reference leads to. */
  imageLookup(result: 'done' | 'failed' | 'cancelled'): void;
  /** Bytes of an image's packed layers that have come. */
  pulledBytes(bytes: number): void;
  /** A run has ended by itself, and what the microVM is now. */
  runEnded(reason: Reason, now: StateName): void;
}

/** Nobody counts. */
export const NO_METER: Meter = {
  imageLookup: () => undefined,
  pulledBytes: () => undefined,
  runEnded: () => undefined,
};
