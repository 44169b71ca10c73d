/** Time and chance: tests hold both. */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /** Milliseconds since some moment. Goes on evenly when the host's clock is set: for how long something took. */
  elapsed(): number;
  /** At least 0, below 1. */
  random(): number;
  /** Calls back once after so many milliseconds. @returns how to stop */
  after(ms: number, callback: () => void): () => void;
  /** Resolves after so many milliseconds; rejects with the signal's reason. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}
