import { deleting } from '../domain/transitions.ts';
import type { ServiceContext } from './context.ts';
import { find } from './find.ts';
import type { Target } from './services.ts';

/** Marks a microVM as deleted, durably. A create under way is interrupted; a second delete does no harm. */
export function remove({ store, clock, wake }: ServiceContext, target: Target): void {
  const { uid } = find(store, target, false);
  store.update(uid, (vm) => deleting(vm, clock.now()));
  wake.interrupt(uid);
}
