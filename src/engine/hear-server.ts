import { Periodic } from '../base/periodic.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import { TROUBLE_TEXT, type TroubleKind } from '../domain/server-words.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Meter } from '../ports/meter.ts';
import type { Network } from '../ports/network.ts';

/** Only files are looked at. */
const LOOK_MS = 2_000;
/** The same trouble is told again when it was away for so long. */
const QUIET_MS = 600_000;

export interface HearServerDeps {
  readonly network: Pick<Network, 'serverNews'>;
  readonly ledger: Ledger;
  readonly meter: Pick<Meter, 'serverTrouble' | 'resolvers'>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Hears what the DHCP and DNS server says after its start, tells it in our own
 * words, and gives it the host's DNS servers as they change.
 *
 * @returns how to stop
 */
export function hearServer({ network, ledger, meter, clock, log }: HearServerDeps): () => Promise<void> {
  let isFirst = true;
  let wrongBefore: string | undefined;
  const told = new Map<TroubleKind, number>();

  const look = async (): Promise<void> => {
    const entry = ledger.find(HOST_OWNER, 'dhcp', '');
    if (!entry?.made) return;
    const { troubles, resolvers, isChanged, wrong } = await network.serverNews(entry.intent);
    meter.resolvers(resolvers.length);
    if (wrong !== undefined && wrong !== wrongBefore)
      log.warn("there is no DNS server of the host's for what guests ask: they find the names of guests only", {
        why: wrong,
      });
    else if (wrong === undefined && (wrongBefore !== undefined || (isChanged && !isFirst)))
      log.info("the host's DNS servers have changed: guests' questions go to them", { servers: resolvers });
    wrongBefore = wrong;
    isFirst = false;
    const now = clock.elapsed();
    for (const { kind, words } of troubles) {
      meter.serverTrouble(kind);
      const before = told.get(kind);
      told.set(kind, now);
      if (before !== undefined && now - before < QUIET_MS) continue;
      const owner = ownerOf(ledger, words);
      log.warn(TROUBLE_TEXT[kind], { said: words, ...(owner !== undefined && { uid: owner }) });
    }
  };
  const onFailure = (error: unknown, isNew: boolean): void => {
    if (isNew) log.warn('the DHCP server could not be listened to', { error });
  };
  const periodic = new Periodic({ clock, everyMs: LOOK_MS, look, onFailure }).start();
  return () => periodic.stop();
}

/** Whose address it speaks of. */
function ownerOf(ledger: Ledger, words: string): string | undefined {
  const addresses: readonly string[] = words.match(/\b\d+\.\d+\.\d+\.\d+\b/g) ?? [];
  return ledger.ofKind('lease').find(({ intent }) => addresses.includes(intent.address))?.owner.uid;
}
