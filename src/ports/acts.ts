import type { Fault } from '../domain/fault.ts';
import type { LedgerKind } from '../domain/ledger.ts';

/** What an act does to the host: something comes to be, or goes. */
export type Way = 'make' | 'unmake';

/** What is known of an act, beside its work. */
export interface Act {
  readonly kind: LedgerKind;
  readonly way: Way;
  /** Another change came first, or the daemon ends. Absent: nothing ends it. */
  readonly signal?: AbortSignal;
  /** How long it may take. Absent: it ends by its tools' own limits. */
  readonly limit?: Limit;
}

export interface Limit {
  readonly ms: number;
  /** What is thrown then. @param ms - how long it had, on this host */
  readonly late: (ms: number, cause: unknown) => Fault;
}

/**
 * The one door to side effects that stand in the ledger: between the intent and the mark whoever runs a ledger's act runs it
 * through here. What is to be so for each of them (a limit, a measure, a fault for a test) is an `Acts` around another one:
 * see `daemon/acts/`.
 */
export interface Acts {
  /**
   * Runs an act's work. What that throws is thrown, or what an `Acts` makes of it.
   * @param work - obeys its signal, which aborts with the act's own, and where its time is over
   */
  run<T>(act: Act, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Told once the entry is marked, or struck out. */
  marked(act: Pick<Act, 'kind' | 'way'>): void;
}

/** The work itself and nothing else: no limit is kept. */
export const DIRECT: Acts = {
  run: (act, work) => work(act.signal ?? new AbortController().signal),
  marked: () => undefined,
};
