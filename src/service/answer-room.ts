/**
 * Where what a stream reads has room until its reader has taken it. A stream
 * asks before it reads: a reader that does not read holds nothing of the store.
 */
export interface Room {
  /**
   * Waits for room for another page; what the last one held is free.
   * @throws Fault `full` when there was none for too long; the signal's reason
   */
  next(signal: AbortSignal): Promise<void>;
  /** How many bytes the page that was read holds. */
  holds(bytes: number): void;
  /** The reader has taken all; the stream waits for something to read. */
  none(): void;
}

/** So much a stream reads at once: so many records, or so many bytes of them as they are stored, but one at least. */
export const PAGE = { limit: 200, maxBytes: 64 << 10 };

/** For callers within the daemon, who read what they ask for. */
export const NO_BOUND: Room = {
  next: async () => undefined,
  holds: () => undefined,
  none: () => undefined,
};
