import type { AgentDoor, DialAgent } from './guest-ports.ts';

/** A socket for programs of the host that speak to one guest's agent themselves. */
export interface AgentSocketWanted {
  /** Absolute, at most 107 bytes; a socket that a dead daemon left there is replaced. */
  readonly path: string;
  /**
   * A connection to the agent.
   * @throws Fault where there is none now: who asked for it is hung up on
   */
  readonly dial: DialAgent;
  /** Called when a connection is over. */
  readonly told: (use: { readonly door: AgentDoor; readonly bytesIn: number; readonly bytesOut: number }) => void;
}

/**
 * Listens as a VMM does for its guest's vsock: who says `CONNECT 1024` or `CONNECT 1025` and a line end is answered `OK` with a
 * number and a line end, and is then connected to that port of the agent.
 *
 * @returns how to stop: resolves when no connection is left
 * @throws Fault `tool`
 */
export type ServeAgentSocket = (wanted: AgentSocketWanted) => Promise<() => Promise<void>>;
