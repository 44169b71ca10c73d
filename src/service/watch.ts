import type { VmEvent } from '../domain/event.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { matches, parseSelector, type Selector } from '../domain/selector.ts';
import { weightOf } from '../domain/weight.ts';
import { NO_BOUND, PAGE, type Room } from './answer-room.ts';
import { Changes } from './changes.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { WatchedEvent, WatchRequest } from './services.ts';
import { ifReadable, type ViewNeeds, view, withMetadata } from './view.ts';
import { Listing } from './watch-list.ts';

export type WatchNeeds = ViewNeeds &
  NeedsOf<'store', 'cursor' | 'oldestSeq' | 'events' | 'list' | 'get'> &
  Needs<'onChange'>;

/**
 * Every change, from the store, in the order of the commits. The reader sets the pace.
 * @throws Fault `expired` when the cursor is older than what is kept, or of another database: list again
 */
export async function* watch(
  needs: WatchNeeds,
  request: WatchRequest,
  signal: AbortSignal,
  room: Room = NO_BOUND,
): AsyncIterable<WatchedEvent> {
  const { store, clock } = needs;
  const selector = parseSelector(request.labelSelector);
  const { epoch, seq: newest } = store.cursor();
  using changes = new Changes(needs.onChange);
  /** Told as unknown: told again when the guest is taken over, which changes no record. */
  const unknown = new Set<Uid>();
  const listing = new Listing(store);
  // Before the end of the listing it would tell again what a page told already.
  const cursorAt = (at: number): string => (at < listing.end ? '' : `${epoch}.${at}`);
  let seq = newest;
  if (request.cursor !== '') seq = seqOf(request.cursor, epoch, newest);
  else {
    const query = request.namespace === '' ? { selector } : { selector, namespace: request.namespace };
    for await (const vm of listing.records(query, room, signal)) {
      for (const shown of ifReadable(() => view(vm, needs))) {
        if (shown.state !== vm.state) unknown.add(vm.uid);
        // Without a cursor: who came so far begins anew, and misses none of the rest.
        yield { type: 'ADDED', vm: shown, cursor: '', at: clock.now() };
      }
    }
  }
  if (seq < store.oldestSeq()) throw expired();
  // The reader learns at once that it watches, and from where.
  yield { type: 'BOOKMARK', cursor: cursorAt(seq), at: clock.now() };
  for (;;) {
    await room.next(signal);
    if (seq < store.oldestSeq()) throw expired();
    const events = store.events(seq, PAGE.limit, PAGE.maxBytes);
    room.holds(weightOf(events.map(({ vm }) => vm)));
    let told = false;
    for (const event of events) {
      seq = event.seq;
      const type = listing.holds(event) ? undefined : toldAs(event, request.namespace, selector);
      const shown = type ? ifReadable(() => withMetadata(event.vm, store.metadataOf(event.vm))) : [];
      told = shown.length > 0;
      if (type) for (const vm of shown) yield { type, vm, cursor: cursorAt(seq), at: event.at };
    }
    // Others' changes moved the stream on: the reader need not see them again.
    if (events.length > 0 && !told) yield { type: 'BOOKMARK', cursor: cursorAt(seq), at: clock.now() };
    if (events.length > 0) continue;
    for (const uid of unknown) {
      if (!needs.running(uid)) continue;
      unknown.delete(uid);
      const vm = store.get(uid);
      if (vm && vm.goneAt === undefined)
        for (const shown of ifReadable(() => view(vm, needs)))
          yield { type: 'MODIFIED', vm: shown, cursor: cursorAt(seq), at: clock.now() };
    }
    room.none();
    await changes.next(signal);
  }
}

/** By the labels a microVM comes to a watcher's sight and leaves it, as if it had been made or were gone. */
function toldAs(
  { type, vm, labelsBefore }: VmEvent,
  namespace: string,
  selector: Selector,
): VmEvent['type'] | undefined {
  if (namespace !== '' && vm.spec.namespace !== namespace) return undefined;
  const is = matches(selector, vm.spec.labels);
  const was = labelsBefore === undefined ? is : matches(selector, labelsBefore);
  if (is && was) return type;
  if (is) return 'ADDED';
  return was ? 'DELETED' : undefined;
}

function seqOf(cursor: string, epoch: string, newest: number): number {
  const parsed = /^([^.]+)\.(\d{1,15})$/.exec(cursor);
  if (!parsed) throw Fault.invalid([{ field: 'cursor', description: 'is no cursor of an event' }]);
  const seq = Number(parsed[2]);
  if (parsed[1] !== epoch || seq > newest) throw expired();
  return seq;
}

const expired = (): Fault =>
  new Fault('expired', 'The cursor is too old, or of another database: list again and watch without a cursor');
