import type { Uid } from '../domain/microvm.ts';
import type { ConsoleInput } from '../ports/vmm.ts';

interface Shared {
  readonly opening: Promise<ConsoleInput>;
  users: number;
}

/** Lets several users type on one console: a VMM takes one client. The last one to leave closes it. */
export class SharedConsoles {
  readonly #open: (uid: Uid) => Promise<ConsoleInput>;
  readonly #shared = new Map<Uid, Shared>();

  constructor(open: (uid: Uid) => Promise<ConsoleInput>) {
    this.#open = open;
  }

  /**
   * Joins a microVM's console. What one user writes in one piece arrives in one piece.
   * @returns a console of the caller's own to close
   * @throws what opening it throws
   */
  async join(uid: Uid): Promise<ConsoleInput> {
    const shared = this.#shared.get(uid) ?? this.#begin(uid);
    shared.users++;
    const leave = (): void => {
      if (--shared.users > 0) return;
      this.#forget(uid, shared);
      shared.opening.then((input) => input.close()).catch(() => undefined); // it never opened
    };
    let input: ConsoleInput;
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
    shared.opening.then((input) => input.closed.then(forget), forget);
    return shared;
  }

  #forget(uid: Uid, shared: Shared): void {
    if (this.#shared.get(uid) === shared) this.#shared.delete(uid);
  }
}
