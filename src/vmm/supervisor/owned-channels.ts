import type { ChannelKind } from '../../domain/capabilities.ts';
import { Fault } from '../../domain/fault.ts';
import type { Channel } from '../../ports/channel.ts';

/** Sees to it that each channel of each microVM has one owner at a time. */
export class OwnedChannels {
  readonly #taken = new Set<string>();

  /**
   * @param open - opens it
   * @throws Fault `conflict` while it is open, or being opened; what opening throws
   */
  async open(uid: string, kind: ChannelKind, open: () => Promise<Channel>): Promise<Channel> {
    const name = `${kind} ${uid}`;
    if (this.#taken.has(name))
      throw new Fault('conflict', `Cannot open the ${kind} of microVM ${uid}: it is open already`);
    this.#taken.add(name);
    let channel: Channel;
    try {
      channel = await open();
    } catch (error) {
      this.#taken.delete(name);
      throw error;
    }
    let isOwned = true;
    const release = (): void => {
      if (isOwned) this.#taken.delete(name);
      isOwned = false;
    };
    void channel.closed.then(release);
    return {
      read: (signal) => channel.read(signal),
      write: (bytes) => channel.write(bytes),
      closed: channel.closed,
      close() {
        channel.close();
        release();
      },
    };
  }
}
