import type { LedgerEntry } from '../domain/ledger.ts';

/** What the kernel tells of: something of ours may have changed, or something of others that may be in our way. */
export type News = 'ours' | 'others';

/** The kernel's own notifications of changes to interfaces, addresses, routing rules, settings and firewall. */
export interface NetworkNews {
  /** @returns how to stop */
  onNews(listener: (news: News) => void): () => void;
  /** False where nothing is told at present: then changes are only found by looking. */
  isTold(): boolean;
}

/** One thing of the host's network that is not as the ledger says. */
export interface Flaw {
  /** Names the thing, the same each time: `interface flabcdbr address`. */
  readonly thing: string;
  /** What is wrong, as a clause: `the bridge flabcdbr has lost its address 10.77.0.1/24`. */
  readonly what: string;
  /** Whose it is: the uid of a microVM; absent: everybody's on the network. */
  readonly owner?: string;
  /** An operator may have meant it: who does it again and again is not fought. */
  readonly isChoice?: true;
  /** Sets just this right; absent: all is made again as it was made first. */
  mend?(signal: AbortSignal): Promise<void>;
  /** Nothing here sets it right: it is told for as long as it lasts. */
  readonly isLasting?: true;
  /** The interface that its guest has lost for as long as its VMM runs: what it has open is no more. */
  readonly cutOff?: string;
  /** Beside `mend`: it only clears the way for making all again. */
  readonly remake?: true;
}

/** Compares what the host has with what the ledger says, in content. Faults as for `Network`. */
export interface Wholeness {
  /** Takes firewall tables of which nothing is known as they are now. Called when they have just been made. */
  remember(tables: readonly string[], signal: AbortSignal): Promise<void>;
  flaws(ledger: LedgerView, signal: AbortSignal): Promise<readonly Flaw[]>;
}

export interface LedgerView {
  /**
   * All that it says of the network. Asked before the host is looked at and after, so that what comes and goes meanwhile
   * is no flaw.
   */
  readonly entries: () => readonly LedgerEntry[];
  /** False while it has rows that cannot be read: then nothing is nobody's. */
  readonly isWhole: () => boolean;
  /** Of which entries it is asked whether they are true. */
  readonly isAsked: (entry: LedgerEntry) => boolean;
}
