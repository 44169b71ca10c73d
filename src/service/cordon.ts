import { type Cordon, cordonFor, readCordon } from '../domain/cordon.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';

interface CordonNeeds {
  readonly store: Pick<Store, 'recall' | 'remember'>;
  readonly clock: Pick<Clock, 'now'>;
}

const KEY = 'cordon';

/** Kept in the database: a daemon that starts anew takes no more than the one before. */
export const cordonOf = (store: Pick<Store, 'recall'>): Cordon | undefined => readCordon(store.recall(KEY));

/** Done twice it is the same cordon, with the newer reason. */
export function cordonHost({ store, clock }: CordonNeeds, reason: string): Cordon {
  const now = cordonFor(reason, clock.now());
  const cordon = { ...now, since: cordonOf(store)?.since ?? now.since };
  store.remember(KEY, JSON.stringify(cordon));
  return cordon;
}

export function uncordonHost({ store }: Pick<CordonNeeds, 'store'>): void {
  if (cordonOf(store)) store.remember(KEY, '');
}
