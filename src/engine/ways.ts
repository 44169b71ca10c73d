import { Periodic } from '../base/periodic.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { bridgeName, type Names, waysPath } from '../domain/names.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { MetadataServer } from '../ports/metadata-server.ts';
import type { Meter } from '../ports/meter.ts';
import type { MetadataPortIntent } from '../ports/network.ts';
import type { NetworkProbe, WayFound } from '../ports/network-probe.ts';
import type { NetworkNews } from '../ports/network-watch.ts';
import type { NetworkHealth, Trouble } from './network-health.ts';

export interface WaysDeps {
  readonly names: Names;
  readonly ledger: Ledger;
  readonly network: Pick<NetworkProbe, 'tryWays'>;
  readonly news: NetworkNews;
  readonly health: NetworkHealth;
  readonly meter: Meter;
  readonly metadata: MetadataServer;
  readonly files: Pick<Files, 'write' | 'remove'>;
  readonly clock: Clock;
  readonly log: Log;
  /** On a host that is slow: what limits are multiplied by. */
  readonly patience?: number;
  /** From one try to the next where nothing is heard of, in milliseconds. */
  readonly everyMs: number;
}

/** From something that is heard of to a try, and from one to the next at the least. Milliseconds. */
const SOON_MS = 2_000;
const GAP_MS = 10_000;
const LIMIT_MS = 120_000;
/** It has no record: its metadata is that of nobody. */
const PROBE = 'probe';

/**
 * Tries what guests need of the managed network, as one of them: each minute,
 * and soon after something of the host's network or firewall has changed. What
 * it finds stands in the condition of each microVM there, in the log once, in
 * the metrics, and in a file for `flintlock doctor`.
 */
export class Ways {
  readonly #deps: WaysDeps;
  readonly #tries: Periodic;
  #cancelNews: (() => void) | undefined;
  /** What no chain was found to refuse, and may be a slow host's: it is tried once more before it is told. */
  #unsure = new Set<WayFound['way']>();
  /** What was said last, so that it is said once. */
  #said = '';

  constructor(deps: WaysDeps) {
    this.#deps = deps;
    const { clock, log, patience = 1 } = deps;
    this.#tries = new Periodic({
      ...{ clock, limitMs: LIMIT_MS * patience, soon: { settleMs: SOON_MS, gapMs: GAP_MS } },
      everyMs: () => (this.#unsure.size > 0 ? GAP_MS : Math.max(GAP_MS, deps.everyMs)),
      look: (signal) => this.#try(signal),
      onFailure: (error) => log.warn('the ways of guests could not be tried', { error }),
    });
  }

  start(): void {
    // A try changes the firewall itself: what is heard meanwhile is mostly that.
    this.#cancelNews = this.#deps.news.onNews(() => (this.#tries.isLooking ? undefined : this.#tries.soon()));
    this.#tries.start('soon');
  }

  release(): void {
    this.#cancelNews?.();
    void this.#tries.stop(new Fault('cancelled', 'the daemon ends'));
  }

  async #try(signal: AbortSignal): Promise<void> {
    const { ledger, network } = this.#deps;
    const [entry] = ledger.ofKind('probe');
    if (!entry?.made) return; // not made yet, or the network is too small for it
    const { intent } = entry;
    const isServed = await this.#serve(intent.metadata);
    const found = await network.tryWays(intent, signal);
    const known = found.filter(({ way }) => isServed || (way !== 'metadata' && way !== 'large'));
    const unsure = new Set(this.#unsure);
    this.#unsure = new Set(known.flatMap((one) => (one.is === 'blocked' && !one.isSure ? [one.way] : [])));
    const sure = known.filter((one) => one.is !== 'blocked' || one.isSure || unsure.has(one.way));
    if (sure.length > 0) await this.#tell(sure);
  }

  /** @returns false where another program has the port: then nothing is known of that way */
  async #serve({ address, port }: MetadataPortIntent): Promise<boolean> {
    const { metadata, log } = this.#deps;
    try {
      await metadata.serve(PROBE, { address, port });
      return true;
    } catch (error) {
      log.debug('the way to the metadata service is not tried', { error });
      return false;
    }
  }

  async #tell(found: readonly WayFound[]): Promise<void> {
    const { ledger, health, meter, log, names, clock, files } = this.#deps;
    const blocked = found.flatMap((one) => (one.is === 'blocked' ? [one] : []));
    const absent = found.flatMap((one) => (one.is === 'absent' ? [one] : []));
    for (const { way, is } of found) meter.wayTried(way, is);
    const said = JSON.stringify([...blocked, ...absent]);
    if (said !== this.#said && (this.#said !== '' || said !== '[]')) {
      for (const { way, why, remedy } of blocked)
        log.warn(`guests are cut off from ${WORDS[way]}: ${why}`, { way, remedy, bridge: bridgeName(names) });
      for (const { way, why } of absent) log.warn(`guests do not reach ${WORDS[way]}: ${why}`, { way });
      if (blocked.length === 0 && this.#said.includes('"blocked"')) log.info('guests reach all that they need again');
    }
    this.#said = said;
    const uids = new Set<Uid>();
    for (const { owner, made, intent } of ledger.ofKind('tap'))
      if (made && intent.bridge === bridgeName(names)) uids.add(owner.uid);
    const message = blocked
      .map(({ way, why, remedy }) => `Guests are cut off from ${WORDS[way]}: ${why}. To let them through: ${remedy}`)
      .join('. ');
    const trouble: Trouble = { reason: 'NetworkBlocked', message };
    health.tell('ways', uids, new Map(blocked.length === 0 ? [] : [...uids].map((uid) => [uid, trouble])));
    await files.write(waysPath(names), `${JSON.stringify({ at: clock.now(), found })}\n`, { mode: 0o644 });
  }
}

/** What each way leads to, for messages. */
const WORDS: Readonly<Record<WayFound['way'], string>> = {
  dhcp: 'DHCP',
  dns: 'the DNS server',
  names: 'names of others',
  metadata: 'the metadata service',
  published: 'their published ports',
  large: 'large packets',
  out: 'the outside',
};
