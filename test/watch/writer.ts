import { setImmediate as turn } from 'node:timers/promises';
import { createUlids } from '../../src/base/ulid.ts';
import type { Uid } from '../../src/domain/microvm.ts';
import { clock } from '../../src/host/clock.ts';
import type { Store } from '../../src/ports/store.ts';
import { sampleRecord } from '../support/fake-services.ts';
import type { Stage } from './stage.ts';

/** So many microVMs are alive at once at most: more than fit on a page of the list. */
const MAX_ALIVE = 450;
const TIERS = ['a', 'b', ''];

/** The same numbers for the same seed. @see https://en.wikipedia.org/wiki/Linear_congruential_generator */
export function numbers(seed: number): (below: number) => number {
  let state = BigInt(seed);
  return (below) => {
    state = (state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) & ((1n << 64n) - 1n);
    return Number((state >> 33n) % BigInt(below));
  };
}

/** Makes microVMs, changes them and lets them go, some in one transaction, some in one that is rolled back. */
export class Writer {
  readonly #stage: Stage;
  readonly #next: (below: number) => number;
  readonly #newUid = createUlids(clock.now, clock.random);
  #alive: readonly Uid[] = [];
  #made = 0;
  rolledBack = 0;

  constructor(stage: Stage, seed: number) {
    this.#stage = stage;
    this.#next = numbers(seed);
  }

  /** Until the database's newest change is at least this one. */
  async until(seq: number): Promise<void> {
    const { store, database } = await this.#stage.life;
    while (store.cursor().seq < seq) {
      const kind = this.#next(10);
      const alive = this.#alive;
      if (kind < 6) this.#change(store);
      else
        try {
          database.transact(() => {
            for (let left = this.#next(5); left >= 0; left--) this.#change(store);
            if (kind === 9) throw new RolledBack();
          });
        } catch (error) {
          if (!(error instanceof RolledBack)) throw error;
          this.#alive = alive;
          this.rolledBack++;
        }
      // Bursts within one turn, and pauses in which everybody reads on.
      if (this.#next(3) === 0) await turn();
    }
  }

  /**
   * One change more, after which there is none.
   * @param tell - called with its number before it is stored
   */
  async last(tell: (seq: number) => void): Promise<void> {
    const { store } = await this.#stage.life;
    tell(store.cursor().seq + 1);
    this.#create(store);
  }

  #change(store: Store): void {
    const kind = this.#next(10);
    const uid = this.#alive[this.#next(Math.max(1, this.#alive.length))];
    if (uid === undefined || (kind < 4 && this.#alive.length < MAX_ALIVE)) this.#create(store);
    else if (kind < 7) store.update(uid, (vm) => ({ ...vm, retry: vm.retry + 1 }));
    else if (kind < 9) store.update(uid, (vm) => ({ ...vm, spec: { ...vm.spec, labels: this.#labels() } }));
    else {
      store.gone(uid);
      this.#alive = this.#alive.filter((one) => one !== uid);
    }
  }

  #create(store: Store): void {
    const uid = this.#newUid() as Uid;
    const { spec } = sampleRecord();
    const id = `vm${++this.#made}`;
    const namespace = this.#next(2) === 0 ? 'even' : 'odd';
    const vm = sampleRecord({
      uid,
      version: 1,
      spec: { ...spec, id, namespace, labels: this.#labels(), interfaces: [] },
      allocation: { vmmUser: this.#made, interfaces: {} },
    });
    store.create({ vm, uniqueId: true });
    this.#alive = [...this.#alive, uid];
  }

  #labels(): Readonly<Record<string, string>> {
    const tier = TIERS[this.#next(TIERS.length)] ?? '';
    return tier === '' ? {} : { tier };
  }
}

class RolledBack extends Error {}
