import { Fault } from '../../domain/fault.ts';
import type { FlowLimits, Levels } from './limits.ts';

/** Whose call it is, for what callers may take. */
export interface Party {
  /** The same object for all calls of a connection. */
  readonly connection: object;
  /** What is said of it, too: `token ci`, `10.0.0.7`. */
  readonly caller: string;
}

type Kind = 'calls' | 'streams';

const WHAT = {
  calls: ['calls', 'wait for some of them'],
  streams: [
    'streams (watches, consoles, pulls, lists by stream)',
    'end some of them, or share one among their readers',
  ],
} as const satisfies Record<Kind, readonly [string, string]>;

/** Counts what is under way, and refuses what is too much. */
export class Load {
  readonly #counts: Readonly<Record<Kind, Count>>;

  constructor({ calls, streams }: Pick<FlowLimits, 'calls' | 'streams'>) {
    this.#counts = { calls: new Count('calls', calls), streams: new Count('streams', streams) };
  }

  /**
   * Counts a call until it has ended.
   * @returns how to say that it has ended; once is enough
   * @throws Fault `full`
   */
  enter(party: Party, isStream: boolean): () => void {
    const kinds: readonly Kind[] = isStream ? ['calls', 'streams'] : ['calls'];
    for (const kind of kinds) this.#counts[kind].check(party);
    for (const kind of kinds) this.#counts[kind].add(party, 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      for (const kind of kinds) this.#counts[kind].add(party, -1);
    };
  }
}

/** Something that is counted at each level. */
class Count {
  readonly #kind: Kind;
  readonly #held: HeldBy;

  constructor(kind: Kind, levels: Levels) {
    this.#kind = kind;
    this.#held = new HeldBy(levels);
  }

  check(party: Party): void {
    const full = this.#held.fullLevel(party, 1);
    if (full === undefined) return;
    const [what, remedy] = WHAT[this.#kind];
    throw new Fault('full', `Too many ${what} at once ${this.#held.tell(full, party)}: ${remedy}`);
  }

  add(party: Party, more: number): void {
    this.#held.add(party, more);
  }
}

type Level = keyof Levels;

/** How much each holds, at each level. */
export class HeldBy {
  readonly #levels: Levels;
  readonly #connections = new WeakMap<object, number>();
  readonly #callers = new Map<string, number>();
  #all = 0;

  constructor(levels: Levels) {
    this.#levels = levels;
  }

  add({ connection, caller }: Party, more: number): void {
    this.#connections.set(connection, (this.#connections.get(connection) ?? 0) + more);
    const ofCaller = (this.#callers.get(caller) ?? 0) + more;
    if (ofCaller > 0) this.#callers.set(caller, ofCaller);
    else this.#callers.delete(caller);
    this.#all += more;
  }

  /** The first level at which there is no room for so much more. @param share - of the limit, up to 1 */
  fullLevel({ connection, caller }: Party, more: number, share = 1): Level | undefined {
    const over = (held: number, level: Level): boolean => held > 0 && held + more > this.#levels[level] * share;
    if (over(this.#connections.get(connection) ?? 0, 'connection')) return 'connection';
    if (over(this.#callers.get(caller) ?? 0, 'caller')) return 'caller';
    return over(this.#all, 'all') ? 'all' : undefined;
  }

  /** `on one connection (256)`. */
  tell(level: Level, { caller }: Party, text: (limit: number) => string = String): string {
    const limit = text(this.#levels[level]);
    switch (level) {
      case 'connection':
        return `on one connection (at most ${limit})`;
      case 'caller':
        return `of ${caller} (at most ${limit})`;
      case 'all':
        return `of all callers (at most ${limit})`;
      default:
        return level satisfies never;
    }
  }

  get all(): number {
    return this.#all;
  }
}

/** Whether two parties share what is counted at that level. */
export function share(level: Level, one: Party, other: Party): boolean {
  switch (level) {
    case 'connection':
      return one.connection === other.connection;
    case 'caller':
      return one.caller === other.caller;
    case 'all':
      return true;
    default:
      return level satisfies never;
  }
}
