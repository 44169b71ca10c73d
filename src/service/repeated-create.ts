import type { SpecDraft } from '../domain/draft.ts';
import { parseMac } from '../domain/mac.ts';
import type { MicroVm } from '../domain/microvm.ts';
import { canonical } from './idempotency-key.ts';
import type { Needs, NeedsOf } from './needs.ts';

/** What `create` keeps in the record of the request that made it. */
export const requestDigest = ({ digest }: Needs<'digest'>, draft: SpecDraft): string =>
  digest(`request ${canonical(draft)}`);

/**
 * The microVM that this very request has made, where its answer was lost on
 * the way: it has every MAC address that the request gives, nobody else has one
 * of them, and it was made by the same words. A request that gives none asks
 * for another microVM each time; so does one whose microVM is being deleted.
 *
 * The Cluster API provider repeats its creates so, with the MAC addresses that
 * its webhook has put into the spec, and without any key.
 */
export function repeated(
  needs: NeedsOf<'store', 'holder' | 'get'> & Needs<'digest'>,
  draft: SpecDraft,
): MicroVm | undefined {
  const macs = draft.interfaces.flatMap(({ mac = '' }) => (mac === '' ? [] : [parseMac(mac)]));
  const holders = new Set(
    macs.map((mac) => (typeof mac === 'string' ? needs.store.holder('mac', mac)?.uid : undefined)),
  );
  const [uid, ...others] = holders;
  if (uid === undefined || others.length > 0) return undefined;
  const vm = needs.store.get(uid);
  return vm && vm.state.is !== 'DELETING' && vm.request === requestDigest(needs, draft) ? vm : undefined;
}
