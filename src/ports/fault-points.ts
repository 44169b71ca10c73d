import type { LedgerKind } from '../domain/ledger.ts';

/** What a step does when it is cut off: something comes to be, or goes. */
export type Way = 'make' | 'unmake';

/**
 * Where a test may break a daemon: before the act of a ledger entry (its
 * intent is on the disk), after the act (its mark is not), and after its mark.
 * Whoever runs a ledger's act runs it through here, so that there is no side
 * effect without its three points. In production it is {@link NO_FAULTS}.
 */
export interface FaultPoints {
  /** Runs an act between its first two points. @param signal - absent: the act ends by its tools' own limits */
  act<T>(kind: LedgerKind, way: Way, act: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** The third point: the entry is marked, or struck out. */
  marked(kind: LedgerKind, way: Way): void;
  /** The milliseconds that an act may take: as given, or less where it is to hang. */
  limitMs(kind: LedgerKind, way: Way, ms: number): number;
}

/** Nothing breaks. */
export const NO_FAULTS: FaultPoints = {
  act: (_kind, _way, act) => act(),
  marked: () => undefined,
  limitMs: (_kind, _way, ms) => ms,
};
