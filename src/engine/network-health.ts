import { networkTroubled, networkWell } from '../domain/conditions.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Reason } from '../domain/reason.ts';
import type { Clock } from '../ports/clock.ts';
import type { Flaw } from '../ports/network-watch.ts';
import type { Store } from '../ports/store.ts';

/** What is wrong with the network of one microVM. */
export interface Trouble {
  readonly reason: Extract<Reason, 'NetworkFailed' | 'NetworkBlocked'>;
  /** A sentence for the user, with what to do. */
  readonly message: string;
  /** The interfaces that its guest has lost for as long as its VMM runs. */
  readonly cutOff?: readonly string[];
}

/** @param flaws - of one microVM, one at least */
export const notAsMade = (flaws: readonly Flaw[]): Trouble => ({
  reason: 'NetworkFailed',
  message: `Not as it was made: ${flaws.map(({ what }) => what).join('; ')}`,
  cutOff: flaws.flatMap(({ cutOff }) => cutOff ?? []),
});

/**
 * What all who look after a part of the network have found, brought together:
 * the condition NetworkReady of each microVM says it, and is True again when
 * nobody has anything to say.
 */
export class NetworkHealth {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #found = new Map<string, ReadonlyMap<Uid, Trouble>>();
  /** Those whose condition this daemon has set right once: an earlier one may have left it. */
  readonly #known = new Set<Uid>();

  #onCutOff: (uid: Uid, devices: readonly string[]) => void = () => undefined;

  constructor({ store, clock }: { readonly store: Store; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Told at each look, for as long as it lasts. */
  onCutOff(listener: (uid: Uid, devices: readonly string[]) => void): void {
    this.#onCutOff = listener;
  }

  /**
   * @param source - who has looked
   * @param uids - all whose network it looks after
   * @param troubles - what it found, whole: what is left out is well
   */
  tell(source: string, uids: ReadonlySet<Uid>, troubles: ReadonlyMap<Uid, Trouble>): void {
    const before = this.#found.get(source);
    this.#found.set(source, troubles);
    for (const uid of new Set([...uids, ...(before?.keys() ?? [])])) {
      if (!troubles.has(uid) && !before?.has(uid) && this.#known.has(uid)) continue;
      this.#known.add(uid);
      this.#show(uid);
    }
    for (const [uid, { cutOff = [] }] of troubles) if (cutOff.length > 0) this.#onCutOff(uid, cutOff);
  }

  #show(uid: Uid): void {
    const troubles = [...this.#found.values()].flatMap((one) => one.get(uid) ?? []);
    const [first] = troubles;
    const message = [...new Set(troubles.map((one) => one.message))].join('. ');
    this.#store.update(uid, (vm) =>
      first ? networkTroubled(vm, first.reason, message, this.#clock.now()) : networkWell(vm, this.#clock.now()),
    );
  }
}
