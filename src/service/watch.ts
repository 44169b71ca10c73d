import type { VmEvent } from '../domain/event.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { matches, parseSelector, type Selector } from '../domain/selector.ts';
import { Changes } from './changes.ts';
import { type ServiceContext, view } from './context.ts';
import type { WatchedEvent, WatchRequest } from './services.ts';

/** Events are read from the store this many at a time: a slow reader holds no more than that. */
const BATCH = 200;

/**
 * Every change, from the store, in the order of the commits. The reader sets the pace.
 * @throws Fault `expired` when the cursor is older than what is kept, or of another database: list again
 */
export async function* watch(
  context: ServiceContext,
  request: WatchRequest,
  signal: AbortSignal,
): AsyncIterable<WatchedEvent> {
  const { store, clock } = context;
  const selector = parseSelector(request.labelSelector);
  const { epoch, seq: newest } = store.cursor();
  const cursorAt = (seq: number): string => `${epoch}.${seq}`;
  using changes = new Changes(context.onChange);
  /** Told as unknown: told again when the guest is taken over, which changes no record. */
  const unknown = new Set<Uid>();
  let seq = newest;
  if (request.cursor !== '') seq = seqOf(request.cursor, epoch, newest);
  else {
    const query = request.namespace === '' ? { selector } : { selector, namespace: request.namespace };
    for (const vm of store.list(query)) {
      const shown = view(vm, context);
      if (shown.state !== vm.state) unknown.add(vm.uid);
      // Without a cursor: who came so far begins anew, and misses none of the rest.
      yield { type: 'ADDED', vm: shown, cursor: '', at: clock.now() };
    }
  }
  if (seq < store.oldestSeq()) throw expired();
  // The reader learns at once that it watches, and from where.
  yield { type: 'BOOKMARK', cursor: cursorAt(seq), at: clock.now() };
  for (;;) {
    if (seq < store.oldestSeq()) throw expired();
    const events = store.events(seq, BATCH);
    let told = false;
    for (const event of events) {
      seq = event.seq;
      told = concerns(event, request.namespace, selector);
      if (told) yield { type: event.type, vm: event.vm, cursor: cursorAt(seq), at: event.at };
    }
    // Others' changes moved the stream on: the reader need not see them again.
    if (events.length > 0 && !told) yield { type: 'BOOKMARK', cursor: cursorAt(seq), at: clock.now() };
    if (events.length === BATCH) continue;
    for (const uid of unknown) {
      if (!context.running(uid)) continue;
      unknown.delete(uid);
      const vm = store.get(uid);
      if (vm && vm.goneAt === undefined)
        yield { type: 'MODIFIED', vm: view(vm, context), cursor: cursorAt(seq), at: clock.now() };
    }
    await changes.next(signal);
  }
}

const concerns = ({ vm }: VmEvent, namespace: string, selector: Selector): boolean =>
  (namespace === '' || vm.spec.namespace === namespace) && matches(selector, vm.spec.labels);

function seqOf(cursor: string, epoch: string, newest: number): number {
  const parsed = /^([^.]+)\.(\d{1,15})$/.exec(cursor);
  if (!parsed) throw Fault.invalid([{ field: 'cursor', description: 'is no cursor of an event' }]);
  const seq = Number(parsed[2]);
  if (parsed[1] !== epoch || seq > newest) throw expired();
  return seq;
}

const expired = (): Fault =>
  new Fault('expired', 'The cursor is too old, or of another database: list again and watch without a cursor');
