/** The way in of a channel. */
export interface ChannelInput {
  /**
   * Sends. Resolves once the VMM, or the system on its way there, has taken it, and the bytes are the caller's again: a guest that does not
   * read holds it up.
   * @throws Fault `refused` when the channel was closed, by whosoever
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves when it is closed, by whosoever. */
  readonly closed: Promise<void>;
  /** What was not taken yet is dropped. */
  close(): void;
}

/**
 * Bytes in both directions between one owner on the host and a guest: each kind
 * of channel (`ChannelKind`) of a microVM has one owner at a time.
 */
export interface Channel extends ChannelInput {
  /**
   * What the guest sends from the channel's opening on, as it comes, until the channel is closed. Read once, by its owner;
   * who does not read holds up nobody on a console, whose record is a file.
   *
   * @throws the signal's reason
   */
  read(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/**
 * Opens a connection of its own to a port in a guest.
 *
 * @throws Fault `refused` when there is no way to any; `tool` when nothing answers on that one, or not in time; the
 * signal's reason
 */
export type Dial = (port: number, signal: AbortSignal) => Promise<Channel>;
