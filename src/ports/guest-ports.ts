/** A server in a guest, as the guest itself reaches it. */
export type PortTarget = Readonly<
  /** `host`: an address; empty: 127.0.0.1, and ::1 where nobody listens there. */
  | { is: 'tcp'; host: string; port: number }
  /** A unix socket. */
  | { is: 'unix'; path: string }
>;

/** What comes of a connection to one: `opened` first; `end`: the server sends no more. */
export type PortOutput = Readonly<{ is: 'opened' } | { is: 'data'; data: Uint8Array } | { is: 'end' }>;

/** Connections to the servers of a guest. */
export interface GuestPorts {
  /**
   * Bytes to and from a server, until both sides have ended theirs. The end of `input` ends that way alone.
   *
   * @throws Fault `refused` where nobody listens, or the agent cannot do it; `tool` when the connection breaks off, or the
   *   agent or the guest goes away; the signal's reason
   */
  connect(target: PortTarget, input: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<PortOutput>;
  /** A connection to the agent itself, for who speaks its protocol. */
  readonly dial: DialAgent;
}

/** The ports of an agent: what `guest/agent` speaks on the first, and the bytes of the guest's SSH server on the second. */
export type AgentDoor = 1024 | 1025;

/** A connection that each side ends by itself. */
export interface AgentBytes {
  /** @throws Fault `tool` when it is over */
  write(bytes: Uint8Array): Promise<void>;
  /** What comes, until the agent ends it. @throws Fault `tool` where it broke off */
  read(): AsyncIterable<Uint8Array>;
  /** No more is written. */
  end(): void;
  close(): void;
}

/** @throws Fault `full` where there are too many; `tool` when the agent is gone */
export type DialAgent = (door: AgentDoor) => AgentBytes;
