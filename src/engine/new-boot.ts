import { condition } from '../domain/conditions.ts';
import { isVmEntry, VM_STEP_KINDS } from '../domain/ledger.ts';
import { madeMore } from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Store, Transactions } from '../ports/store.ts';
import { vmSteps } from '../steps/registry.ts';

export interface NewBootDeps {
  readonly store: Store;
  readonly ledger: Ledger;
  readonly transactions: Transactions;
  readonly clock: Clock;
  readonly log: Log;
}

const BOOT_ID = 'boot-id';
/**
 * Notices that the host was booted anew since the last daemon, and takes the
 * marks off what cannot have outlived it: it is made again, under the names of
 * its intents, when its microVM is started. Called before anything else looks.
 *
 * @param bootId - of this boot
 */
export function noticeNewBoot({ store, ledger, transactions, clock, log }: NewBootDeps, bootId: string): void {
  const before = store.recall(BOOT_ID) ?? bootOf(ledger);
  if (before === bootId) return;
  transactions.transact(() => {
    if (before !== undefined) {
      log.info('the host was booted anew', { before, now: bootId });
      const ofNetwork = ledger
        .all()
        .filter(isVmEntry)
        .filter(({ kind }) => vmSteps[kind].condition === 'NetworkReady');
      const owners = new Set(ofNetwork.map(({ owner }) => owner.uid));
      ledger.unmark(VM_STEP_KINDS.filter((kind) => vmSteps[kind].atBoot === 'gone'));
      const unmade = condition('NetworkReady', false, 'Preparing', 'The host was booted anew', clock.now());
      for (const { uid } of store.list({}))
        if (owners.has(uid)) store.update(uid, (vm) => madeMore(vm, (made) => made, unmade));
    }
    store.remember(BOOT_ID, bootId);
  });
}

/** A daemon of an earlier version did not remember the boot; its VMMs' identities do. */
function bootOf(ledger: Ledger): string | undefined {
  return ledger.ofKind('vmm').findLast((entry) => entry.made)?.result?.process.bootId;
}
