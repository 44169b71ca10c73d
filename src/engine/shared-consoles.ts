import type { Uid } from '../domain/microvm.ts';
import type { Channel, ChannelInput } from '../ports/channel.ts';

interface Shared {
  readonly opening: Promise<Channel>;
  /** Once it is open. */
  channel?: Channel;
  users: number;
}

/**
 * Owns the consoles of guests, and lets several users type on one of them. The
 * last one to leave closes it. What the guest writes each reads from the record
 * of the console, at its own pace.
 */
export class SharedConsoles {
  readonly #open: (uid: Uid) => Promise<Channel>;
  readonly #shared = new Map<Uid, Shared>();

  constructor(open: (uid: Uid) => Promise<Channel>) {
    this.#open = open;
  }

  /**
   * Joins a microVM's console. What one user writes in one piece arrives in one piece.
   * @returns a console of the caller's own to close
   * @throws what opening it throws
   */
  async join(uid: Uid): Promise<ChannelInput> {
    const shared = this.#shared.get(uid) ?? this.#begin(uid);
    shared.users++;
    const leave = (): void => {
      if (--shared.users > 0) return;
      this.#forget(uid, shared);
      shared.channel?.close(); // at once: the next user may open it anew
    };
    let input: Channel;
    try {
      input = await shared.opening;
    } catch (error) {
      leave();
      throw error;
    }
    let isOpen = true;
    return {
      write: (bytes) => input.write(bytes),
      closed: input.closed,
      close: () => {
        if (isOpen) leave();
        isOpen = false;
      },
    };
  }

  #begin(uid: Uid): Shared {
    const shared: Shared = { opening: this.#open(uid), users: 0 };
    this.#shared.set(uid, shared);
    const forget = (): void => this.#forget(uid, shared);
    // One that failed or was cut off is of no use to the next user.
    shared.opening.then((channel) => {
      shared.channel = channel;
      return channel.closed.then(forget);
    }, forget);
    return shared;
  }

  #forget(uid: Uid, shared: Shared): void {
    if (this.#shared.get(uid) === shared) this.#shared.delete(uid);
  }
}
