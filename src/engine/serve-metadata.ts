import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { MetadataServer, ServedAt } from '../ports/metadata.ts';

export interface ServeMetadataDeps {
  readonly ledger: Ledger;
  readonly server: MetadataServer;
  readonly clock: Clock;
  readonly log: Log;
}

/** After a boot of the host there is no address to listen on until the network is made. */
const RETRY_MS = 2_000;

/**
 * Listens again for every microVM that an earlier daemon served: the way there
 * outlived it. What cannot be had yet is tried again until it can, or the
 * signal. Resolves when each was tried once.
 */
export async function serveMetadata(deps: ServeMetadataDeps, signal: AbortSignal): Promise<void> {
  const { ledger, server, clock, log } = deps;
  let isFailing = false;
  for (const { owner, kind, key, intent } of [...ledger.ofKind('metadata'), ...ledger.ofKind('macvtap-metadata')]) {
    const isMade = (): boolean => ledger.find(owner, kind, key)?.made === true;
    if (signal.aborted) return;
    if (!isMade()) continue;
    try {
      const at = intent as unknown as ServedAt;
      await server.serve(owner, at);
      if (!isMade()) await server.unserve(owner, at.address); // deleted meanwhile
    } catch (error) {
      isFailing = true;
      log.warn('metadata cannot be served yet', { uid: owner, error: String(error) });
    }
  }
  if (!isFailing || signal.aborted) return;
  const cancel = clock.after(RETRY_MS, () => void serveMetadata(deps, signal));
  signal.addEventListener('abort', cancel, { once: true });
}
