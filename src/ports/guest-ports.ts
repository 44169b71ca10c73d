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
}
