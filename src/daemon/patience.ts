import type { FaultPoints } from '../ports/fault-points.ts';

/**
 * The same with longer limits for steps, for a slow host.
 *
 * @param patience - what each limit is multiplied by; 1 and above
 */
export const patient = (faults: FaultPoints, patience: number): FaultPoints => ({
  marked: (kind, way) => faults.marked(kind, way),
  act: (kind, way, act, signal) => faults.act(kind, way, act, signal),
  limitMs: (kind, way, ms) => faults.limitMs(kind, way, Math.min(ms * patience, 2 ** 31 - 1)),
});
