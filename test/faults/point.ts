/** Where a run is broken, and how. */
export interface Point {
  /** What the daemon was asked: see `scenarios.ts`. */
  readonly scenario: string;
  /** A ledger kind. */
  readonly kind: string;
  readonly way: 'make' | 'unmake';
  readonly at: 'before' | 'after' | 'marked';
  readonly action: 'kill' | 'error' | 'hang' | 'twice';
}

export const POINTS = ['before', 'after', 'marked'] as const;

export const nameOf = ({ scenario, kind, way, at, action }: Point): string =>
  `${scenario}: ${kind} ${way} ${at}: ${action}`;

/** A kind of the ledger that a scenario makes or unmakes. */
export interface Met {
  readonly scenario: string;
  readonly kind: string;
  readonly way: 'make' | 'unmake';
}

/** All that can be broken at what was met: kills at each of the three points, then the failures that leave a daemon alive. */
export function pointsOf(met: readonly Met[]): Point[] {
  const kills = met.flatMap((one) => POINTS.map((at): Point => ({ ...one, at, action: 'kill' })));
  const failures = met
    .filter(({ scenario }) => FAILED.includes(scenario))
    .flatMap((one): Point[] => [
      ...(['before', 'after'] as const).flatMap((at): Point[] => [
        { ...one, at, action: 'error' },
        { ...one, at, action: 'hang' },
      ]),
      { ...one, at: 'before', action: 'twice' },
    ]);
  return [...kills, ...failures];
}

/** Between them they make and unmake each kind; the others would do the same steps again. */
const FAILED = ['create', 'delete', 'prune', 'teardown'];

/** So many of them, spread over all. */
export function sample<T>(all: readonly T[], count: number): T[] {
  if (count >= all.length) return [...all];
  return Array.from({ length: count }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / count)]).filter(
    (one): one is T => one !== undefined,
  );
}
