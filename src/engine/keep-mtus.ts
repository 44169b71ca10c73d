import { Periodic } from '../base/periodic.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Network } from '../ports/network.ts';

/** How often is looked: an administrator's change, or that of a VPN that comes up. */
const LOOK_MS = 10_000;
const LOOK_LIMIT_MS = 120_000;

export interface KeepMtusDeps {
  readonly network: Pick<Network, 'fitMtus'>;
  readonly ledger: Ledger;
  /** The managed network's bridge; absent: there is none. */
  readonly own: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** What each limit of time is multiplied by on a slow host. Default: 1. */
  readonly patience?: number;
}

/**
 * Keeps bridges and taps of ours at the MTU of what they lead to. A guest that
 * runs is told by DHCP at the latest when it asks again; its device has the new one from its next start on.
 *
 * @returns how to stop
 */
export function keepMtus({ network, ledger, own, clock, log, patience = 1 }: KeepMtusDeps): () => Promise<void> {
  const look = async (signal: AbortSignal): Promise<void> => {
    const taps = ledger.ofKind('tap').flatMap(({ made, intent }) => (made ? [intent] : []));
    const changed = taps.length === 0 ? [] : await network.fitMtus(own, taps, signal);
    if (changed.length > 0) log.info('the MTU has changed: guests have it from their next start on', { changed });
  };
  const onFailure = (error: unknown, isNew: boolean): void => {
    if (isNew) log.warn('the MTUs could not be compared', { error });
  };
  const periodic = new Periodic({
    clock,
    everyMs: LOOK_MS,
    limitMs: LOOK_LIMIT_MS * patience,
    look,
    onFailure,
  }).start();
  return () => periodic.stop();
}
