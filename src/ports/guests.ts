import type { Uid } from '../domain/microvm.ts';
import type { RunningVmm } from './vmm.ts';

/** The VMMs that run and are watched by this daemon. */
export interface Guests {
  /**
   * Begins to watch: a change of the guest or its end is stored and the microVM looked at.
   * @param began - the guest's run; `earlier`: another daemon may have stored what it said
   */
  attach(uid: Uid, running: RunningVmm, began: 'now' | 'earlier'): void;
  of(uid: Uid): RunningVmm | undefined;
  /** Lets go without ending it. */
  detach(uid: Uid): void;
}
