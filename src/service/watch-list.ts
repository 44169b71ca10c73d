import type { VmEvent } from '../domain/event.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import { weightOf } from '../domain/weight.ts';
import type { Query, Store } from '../ports/store.ts';
import { PAGE, type Room } from './answer-room.ts';

/** Sorts behind every uid. */
const AFTER_ALL = '~';

/**
 * All records, page by page, while changes go on. A page holds what was stored
 * before it was read: what came after the first page and is in a later one
 * must not be told again as an event, for that would go back in time.
 */
export class Listing {
  readonly #store: Pick<Store, 'list' | 'cursor'>;
  /** Up to which uid, and up to which event. */
  #pages: { readonly last: string; readonly seq: number }[] = [];

  constructor(store: Pick<Store, 'list' | 'cursor'>) {
    this.#store = store;
  }

  async *records(query: Query, room: Room, signal: AbortSignal): AsyncGenerator<MicroVm> {
    for (let after: Uid | undefined; ; ) {
      await room.next(signal);
      // Both in one turn: nothing is stored between them.
      const page = this.#store.list({ ...query, ...PAGE, ...(after !== undefined && { after }) });
      const { seq } = this.#store.cursor();
      after = page.at(-1)?.uid;
      this.#pages.push({ last: after ?? AFTER_ALL, seq });
      room.holds(weightOf(page));
      yield* page;
      if (after === undefined) return;
    }
  }

  /** The event up to which it is not known what a page tells already; 0 where nothing was listed. */
  get end(): number {
    return this.#pages.at(-1)?.seq ?? 0;
  }

  /** Whether a page tells already what the event did. Events come in their order. */
  holds({ vm, seq }: VmEvent): boolean {
    if (seq > this.end) this.#pages = [];
    const page = this.#pages.find(({ last }) => vm.uid <= last);
    return page !== undefined && seq <= page.seq;
  }
}
