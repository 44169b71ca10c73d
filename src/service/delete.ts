import type { Uid } from '../domain/microvm.ts';
import { deleting } from '../domain/transitions.ts';
import { find } from './find.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { Target } from './services.ts';

type DeleteNeeds = NeedsOf<'store', 'find' | 'get' | 'update'> &
  NeedsOf<'transactions', 'together'> &
  Needs<'clock' | 'wake'>;

/** Marks a microVM as deleted, durably. A create under way is interrupted; a second delete does not interrupt the first. */
export async function remove(
  { store, transactions, clock, wake }: DeleteNeeds,
  target: Target,
): Promise<{ readonly uid: Uid }> {
  const { uid } = find(store, target, false);
  let isFirst = false;
  await transactions.together(() =>
    store.update(uid, (vm) => {
      const next = deleting(vm, clock.now());
      isFirst = next !== undefined;
      return next;
    }),
  );
  if (isFirst) wake.interrupt(uid);
  else wake.wake(uid);
  return { uid };
}
