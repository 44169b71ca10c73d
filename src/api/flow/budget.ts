import { Fault } from '../../domain/fault.ts';
import type { FlowLimits, Levels } from './limits.ts';
import { HeldBy, type Party, share } from './load.ts';

export interface BudgetOptions extends Pick<FlowLimits, 'pressedMs' | 'patienceMs'> {
  readonly levels: Levels;
  /** What the bytes are, for whoever is refused: `answers that are not read yet`. */
  readonly what: string;
  readonly remedy: string;
}

/** What somebody holds. */
export interface Lease {
  /** What it turned out to be. It may be more than there is room for: then others wait. */
  resize(bytes: number): void;
  /** The other side has taken, or sent, a part of it. */
  moved(): void;
  /** Any number of times. */
  free(): void;
}

/** Who asks: its end, and how to end it when it stands still and others wait for its room. */
export interface Asker {
  readonly party: Party;
  readonly signal: AbortSignal;
  cut(why: Fault): void;
}

/** What may be much leaves a quarter to what is little: a Get is answered while Lists wait. */
const SHARE_OF_LARGE = 0.75;
/**
 * So much begins in one turn of the event loop, and at least one: how much
 * an answer is shows when it is made, and the next is let in by that.
 */
const BYTES_A_TURN = 1 << 20;
const SMALL_A_TURN = 16;
/** How often it is looked for who stands still, while somebody waits. */
const LOOK_MS = 250;
/** Who waits no longer than that presses nobody. */
const WAITS_MS = 1_000;

interface Waiter {
  readonly asker: Asker;
  readonly bytes: number;
  readonly since: number;
  readonly grant: (lease: Lease) => void;
  /** It waits no more: refused, or gone. */
  isOver: boolean;
}

interface Held {
  readonly asker: Asker;
  bytes: number;
  movedAt: number;
}

/**
 * Memory for what callers have asked for and not taken yet, at three levels.
 * Who finds no room waits: nothing is made that nobody has room for. Each
 * connection has its turn, whatever others ask for.
 */
export class Budget {
  readonly #options: BudgetOptions;
  readonly #heldBy: HeldBy;
  readonly #leases = new Set<Held>();
  /** When a connection that had to wait was given room last. */
  readonly #servedAt = new WeakMap<object, number>();
  /** By connection: the first is served next. */
  readonly #large = new Queue();
  readonly #small = new Queue();
  #begun = { turn: 0, bytes: 0, small: 0 };
  #turn: NodeJS.Immediate | undefined;
  #look: NodeJS.Timeout | undefined;

  constructor(options: BudgetOptions) {
    this.#options = options;
    this.#heldBy = new HeldBy(options.levels);
  }

  /** Bytes that are held now. */
  get held(): number {
    return this.#heldBy.all;
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#large.size + this.#small.size;
  }

  /**
   * Waits for room.
   *
   * @param bytes - as many as it may be; 0: it is not known, and seldom much
   * @throws Fault `full` when there was none for too long, for nobody of its connection; the signal's reason
   */
  async take(asker: Asker, bytes: number): Promise<Lease> {
    asker.signal.throwIfAborted();
    const queue = bytes > 0 ? this.#large : this.#small;
    if (queue.size === 0 && this.#fits(asker.party, bytes)) return this.#grant(asker, bytes);
    const { promise, resolve, reject } = Promise.withResolvers<Lease>();
    const waiter: Waiter = { asker, bytes, since: performance.now(), grant: resolve, isOver: false };
    const refuse = (reason: unknown): void => {
      waiter.isOver = true;
      reject(reason);
    };
    const { patienceMs } = this.#options;
    let late: NodeJS.Timeout | undefined;
    // Its connection may be served one after the other, on a slow host or by a slow reader: then its turn comes.
    const patiently = (ms: number): void => {
      late = setTimeout(() => {
        const last = this.#servedAt.get(asker.party.connection) ?? waiter.since;
        const left = Math.max(last, waiter.since) + patienceMs - performance.now();
        if (left > 0) patiently(left);
        else refuse(this.#refusal(waiter));
      }, ms);
    };
    patiently(patienceMs);
    const onAbort = (): void => refuse(asker.signal.reason);
    asker.signal.addEventListener('abort', onAbort, { once: true });
    queue.add(waiter);
    this.#nextTurn(); // who waits before may wait for a room of its own
    this.#look ??= setInterval(() => this.#press(), LOOK_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      asker.signal.removeEventListener('abort', onAbort);
      queue.remove(waiter);
      if (this.waiting === 0) {
        clearInterval(this.#look);
        this.#look = undefined;
      }
    }
  }

  #fits(party: Party, bytes: number): boolean {
    if (bytes === 0) return this.#begun.small < SMALL_A_TURN && this.#heldBy.fullLevel(party, 1) === undefined;
    if (this.#begun.bytes > 0 && this.#begun.bytes + bytes > BYTES_A_TURN) return false;
    return this.#heldBy.fullLevel(party, bytes, SHARE_OF_LARGE) === undefined;
  }

  #grant(asker: Asker, bytes: number): Lease {
    if (bytes === 0) this.#begun.small++;
    const { turn } = this.#begun;
    this.#nextTurn();
    const held: Held = { asker, bytes: 0, movedAt: performance.now() };
    const resize = (to: number): void => {
      if (!this.#leases.has(held)) return;
      const less = to < held.bytes;
      if (this.#begun.turn === turn) this.#begun.bytes += to - held.bytes;
      this.#heldBy.add(asker.party, to - held.bytes);
      held.bytes = to;
      if (less) this.#nextTurn();
    };
    this.#leases.add(held);
    resize(bytes);
    return {
      resize,
      moved: () => {
        held.movedAt = performance.now();
      },
      free: () => {
        resize(0);
        this.#leases.delete(held);
      },
    };
  }

  #nextTurn(): void {
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.#begun = { turn: this.#begun.turn + 1, bytes: 0, small: 0 };
      for (const queue of [this.#small, this.#large])
        queue.serve((waiter) => {
          if (waiter.isOver) return true;
          if (!this.#fits(waiter.asker.party, waiter.bytes)) return false;
          this.#servedAt.set(waiter.asker.party.connection, performance.now());
          waiter.grant(this.#grant(waiter.asker, waiter.bytes));
          return true;
        });
    });
  }

  /** Ends what stands still in the way of somebody who waits. */
  #press(): void {
    const now = performance.now();
    for (const queue of [this.#small, this.#large])
      for (const { asker, bytes, since } of queue.waiters()) {
        if (now - since < WAITS_MS) continue;
        const level = this.#heldBy.fullLevel(asker.party, Math.max(1, bytes), bytes > 0 ? SHARE_OF_LARGE : 1);
        if (level === undefined) continue;
        for (const held of this.#leases)
          if (
            now - held.movedAt > this.#options.pressedMs &&
            held.bytes > 0 &&
            share(level, held.asker.party, asker.party)
          )
            held.asker.cut(this.#stoodStill());
      }
  }

  #stoodStill(): Fault {
    const { what, remedy, pressedMs } = this.#options;
    return new Fault(
      'full',
      `Nothing moved for ${pressedMs / 1_000} s, and others wait for the room of ${what}: ${remedy}`,
    );
  }

  #refusal({ asker: { party }, bytes }: Waiter): Fault {
    const { what, remedy, patienceMs } = this.#options;
    const level = this.#heldBy.fullLevel(party, Math.max(1, bytes), bytes > 0 ? SHARE_OF_LARGE : 1) ?? 'all';
    const where = this.#heldBy.tell(level, party, (limit) => `${limit >> 20} MiB`);
    return new Fault('full', `There was no room for ${patienceMs / 1_000} s: too many ${what} ${where}; ${remedy}`);
  }
}

/** Who waits, a line for each connection. */
class Queue {
  readonly #lines = new Map<object, Set<Waiter>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(waiter: Waiter): void {
    const { connection } = waiter.asker.party;
    const line = this.#lines.get(connection) ?? new Set();
    line.add(waiter);
    this.#lines.set(connection, line);
    this.#size++;
  }

  remove(waiter: Waiter): void {
    const { connection } = waiter.asker.party;
    const line = this.#lines.get(connection);
    if (!line?.delete(waiter)) return;
    this.#size--;
    if (line.size === 0) this.#lines.delete(connection);
  }

  /** One of each connection, and again, until nobody is served any more. */
  serve(one: (waiter: Waiter) => boolean): void {
    for (let served = true; served; ) {
      served = false;
      for (const [connection, line] of [...this.#lines]) {
        const [first] = line;
        if (!first || !one(first)) continue;
        served = true;
        this.remove(first);
        if (line.size === 0) continue;
        this.#lines.delete(connection); // behind the others
        this.#lines.set(connection, line);
      }
    }
  }

  *waiters(): Generator<Waiter> {
    // The first of each: who is behind waits for the same.
    for (const line of this.#lines.values()) {
      const [first] = line;
      if (first) yield first;
    }
  }
}
