/** At each level at once: of one connection, of one caller on all its connections, of all callers. */
export interface Levels {
  readonly connection: number;
  readonly caller: number;
  readonly all: number;
}

/** What callers may take of the daemon. docs/access.md tells operators. */
export interface FlowLimits {
  /** Calls under way. Of one connection gRPC clients hold to it by themselves: it is in our SETTINGS. */
  readonly calls: Levels;
  /** Those among them that go on: watches, consoles, pulls, lists by stream. */
  readonly streams: Levels;
  /** Of answers that are made and not read yet, in bytes. */
  readonly answers: Levels;
  /** Of requests that have come in part, in bytes. */
  readonly requests: Levels;
  /** A caller that takes nothing of its answer for so long is let go, in milliseconds. */
  readonly stalledMs: number;
  /** The same where others wait for the room that its answer takes. */
  readonly pressedMs: number;
  /** How long a call waits for room before it is refused. */
  readonly patienceMs: number;
}

const MIB = 1 << 20;

export const FLOW_LIMITS: FlowLimits = {
  calls: { connection: 1_000, caller: 2_000, all: 4_000 },
  streams: { connection: 256, caller: 512, all: 1_024 },
  answers: { connection: 16 * MIB, caller: 32 * MIB, all: 64 * MIB },
  requests: { connection: 16 * MIB, caller: 32 * MIB, all: 64 * MIB },
  stalledMs: 60_000,
  pressedMs: 5_000,
  patienceMs: 30_000,
};

/**
 * One answer, as it is stored: gRPC clients take 4 MiB of it on the wire,
 * where it is not larger. A page ends before.
 */
export const ANSWER_BYTES = 3_500_000;
