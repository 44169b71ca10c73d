import { Periodic } from '../base/periodic.ts';
import { shareExceeded, sharesKept } from '../domain/conditions.ts';
import type { Uid } from '../domain/microvm.ts';
import { macvtapTableName, metadataTableName, type Names, tableName } from '../domain/names.ts';
import { SHARE_TEXT, SHARES, type Share } from '../domain/shares.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Meter } from '../ports/meter.ts';
import type { OverShare, Shares } from '../ports/network.ts';
import type { Store } from '../ports/store.ts';

/** The firewall knows for a minute who asked for more. */
const LOOK_MS = 15_000;
const LOOK_LIMIT_MS = 20_000;

export interface WatchSharesDeps {
  readonly network: Shares;
  readonly names: Names;
  readonly ledger: Ledger;
  readonly store: Pick<Store, 'get' | 'update'>;
  readonly meter: Pick<Meter, 'overShare'>;
  readonly clock: Clock;
  readonly log: Log;
  /** What each limit of time is multiplied by on a slow host. Default: 1. */
  readonly patience?: number;
}

/**
 * Tells whose guest asks for more than its share of what all share: once in
 * the log, in its record while it does so, and how many do. What is over a
 * share is dropped by the firewall, whether we look or not.
 *
 * @returns how to stop
 */
export function watchShares({
  network,
  names,
  ledger,
  store,
  meter,
  clock,
  log,
  patience = 1,
}: WatchSharesDeps): () => Promise<void> {
  let before: ReadonlyMap<Uid, ReadonlySet<Share>> = new Map();
  const tables = [
    ...['bridge', 'inet'].map((family) => `${family} ${tableName(names)}`),
    ...[metadataTableName(names), macvtapTableName(names)].map((name) => `inet ${name}`),
  ];

  const look = async (signal: AbortSignal): Promise<void> => {
    if (ledger.ofKind('guard').length + ledger.ofKind('macvtap-metadata').length === 0 && before.size === 0) return;
    const now = byOwner(ledger, await network.overShares(tables, signal));
    for (const [uid, shares] of now) {
      const text = `It asks for more than its share of ${[...shares].map((share) => SHARE_TEXT[share]).join(' and of ')}: what is over it is dropped`;
      const vm = store.update(uid, (old) => shareExceeded(old, text, clock.now()));
      const fresh = [...shares].filter((share) => !before.get(uid)?.has(share));
      const { namespace, id } = (vm ?? store.get(uid))?.spec ?? {};
      if (fresh.length > 0)
        log.warn('a guest asks for more than its share: what is over it is dropped, the others are not touched', {
          ...{ uid, namespace, id },
          shares: fresh.map((share) => SHARE_TEXT[share]),
        });
    }
    for (const [uid] of before)
      if (!now.has(uid)) {
        store.update(uid, (old) => sharesKept(old, clock.now()));
        log.info('a guest keeps within its shares again', { uid });
      }
    const counts = SHARE_NAMES.map((share) => [share, [...now.values()].filter((set) => set.has(share)).length]);
    meter.overShare(Object.fromEntries(counts) as Record<Share, number>);
    before = now;
  };
  const onFailure = (error: unknown, isNew: boolean): void => {
    if (isNew) log.warn('who asks for more than its share could not be read', { error });
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

const SHARE_NAMES = Object.keys(SHARES) as readonly Share[];

/** Whose tap, address or port it is, the ledger says. */
function byOwner(ledger: Ledger, found: readonly OverShare[]): ReadonlyMap<Uid, ReadonlySet<Share>> {
  const owners = new Map<Uid, Set<Share>>();
  for (const one of found) {
    const entry =
      'device' in one
        ? ledger.ofKind('guard').find(({ intent }) => intent.device === one.device)
        : 'address' in one
          ? ledger.ofKind('lease').find(({ intent }) => intent.address === one.address)
          : (ledger.ofKind('metadata').find(({ intent }) => intent.port === one.port) ??
            ledger.ofKind('macvtap-metadata').find(({ intent }) => intent.port === one.port));
    if (!entry) continue; // deleted meanwhile
    const { uid } = entry.owner;
    owners.set(uid, (owners.get(uid) ?? new Set()).add(one.share));
  }
  return owners;
}
