import { endsWithin } from '../base/ends-within.ts';
import { unreadableText } from '../domain/ledger.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Clock } from '../ports/clock.ts';
import type { Images } from '../ports/images.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { MetadataServer } from '../ports/metadata-server.ts';
import type { Store } from '../ports/store.ts';
import type { HostNetwork } from './host-network.ts';
import type { MetadataPorts } from './metadata-ports.ts';
import type { NetworkHealth } from './network-health.ts';
import type { Scheduler } from './scheduler.ts';
import { serveMetadata } from './serve-metadata.ts';
import { wakeInTurn } from './wake-in-turn.ts';

export interface RecoveryDeps {
  readonly store: Store;
  readonly ledger: Ledger;
  readonly images: Images;
  readonly scheduler: Scheduler;
  readonly network: HostNetwork | undefined;
  readonly metadata: MetadataServer;
  readonly metadataPorts: Pick<MetadataPorts, 'lose'>;
  readonly health: Pick<NetworkHealth, 'tell'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long the running guests may take to be taken over before the daemon calls itself ready all the same. */
const ADOPT_MS = 3_000;

/**
 * What the daemon before us left: running guests are taken over first, then
 * all that was cut off is repeated or undone. Resolves when the guests that
 * should run have been looked at; the rest goes on.
 */
export async function recover(deps: RecoveryDeps, signal: AbortSignal): Promise<void> {
  const { store, ledger, images, scheduler, network, metadata, metadataPorts, health, clock, log } = deps;
  const onTaken = (uid: Uid): void => {
    metadataPorts.lose(uid);
    scheduler.wake(uid);
  };
  void attempt(log, 'serve metadata', () =>
    serveMetadata({ ledger, server: metadata, health, clock, log, onTaken }, signal),
  );
  const vms = store.list({});
  const running = vms.filter(({ state }) => state.is === 'CREATED' || state.is === 'PAUSED').map(({ uid }) => uid);
  const taken = wakeInTurn(running, { scheduler, clock }, signal).then(() => scheduler.settled(running));
  await endsWithin(ADOPT_MS, taken, (ms, call) => clock.after(ms, call));
  // Of a microVM it is told where that is left alone: see `reconciler.ts`.
  const known = new Set<string>(vms.map(({ uid }) => uid));
  for (const row of ledger.unreadable())
    if (!known.has(row.owner))
      log.error('what a row of the ledger stands for is left alone', { why: unreadableText(row) });
  if (network?.isMade()) void attempt(log, 'look after the network', () => network.ensure(signal));
  await attempt(log, 'put away what an earlier daemon left half done of images', () => images.recover(signal));
  const isRunning = new Set<Uid>(running);
  const others = vms.map(({ uid }) => uid).filter((uid) => !isRunning.has(uid));
  void attempt(log, 'look at what does not run', () => wakeInTurn(others, { scheduler, clock }, signal));
}

async function attempt(log: Log, what: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    log.error(`could not ${what}`, { error });
  }
}
