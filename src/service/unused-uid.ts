import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { tapStem } from '../domain/names.ts';
import type { Needs, NeedsOf } from './needs.ts';

/** Of a billion stems one is free at once, unless chance is none. */
const TRIES = 100;

/**
 * A new uid, of which no other microVM's interfaces have their names. It is kept when the record is stored: a create at the
 * same time may take it before, and is told so by the store.
 *
 * @throws Fault `full` when there is none
 */
export function unusedUid({ newUid, store }: Needs<'newUid'> & NeedsOf<'store', 'isAllocated'>): Uid {
  for (let i = 0; i < TRIES; i++) {
    const uid = newUid();
    if (!store.isAllocated('tap-stem', tapStem(uid))) return uid;
  }
  throw new Fault('full', `Cannot name the microVM's interfaces: ${TRIES} names are those of other microVMs`);
}
