import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { MetadataServer, ServedAt } from '../ports/metadata.ts';
import type { NetworkHealth, Trouble } from './network-health.ts';

export interface ServeMetadataDeps {
  readonly ledger: Ledger;
  readonly server: MetadataServer;
  readonly health: Pick<NetworkHealth, 'tell'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Another program has a microVM's port: it goes on to the next. */
  readonly onTaken: (uid: Uid) => void;
}

/** After a boot of the host there is no address to listen on until the network is made. */
const RETRY_MS = 2_000;
/** Tried so often, it is no longer a matter of the order in which things start. */
const PATIENCE = 5;

/**
 * Listens again for every microVM that an earlier daemon served: the way there
 * outlived it. What cannot be had yet is tried again until it can, or the
 * signal; it is told once, and in the record while it lasts. Resolves when each was tried once.
 */
export async function serveMetadata(deps: ServeMetadataDeps, signal: AbortSignal): Promise<void> {
  await attempt(deps, signal, { tries: 1, told: new Map() });
}

/** What was tried how often before, and said of whom. */
interface Before {
  readonly tries: number;
  readonly told: ReadonlyMap<Uid, string>;
}

async function attempt(deps: ServeMetadataDeps, signal: AbortSignal, { tries, told }: Before): Promise<void> {
  const { ledger, server, health, clock, log, onTaken } = deps;
  const failed = new Map<Uid, string>();
  const all = new Set<Uid>();
  for (const { owner, kind, key } of [...ledger.ofKind('metadata'), ...ledger.ofKind('macvtap-metadata')]) {
    const made = (): ServedAt | undefined => {
      const entry = ledger.find(owner, kind, key);
      return entry?.made === true ? entry.intent : undefined;
    };
    if (signal.aborted) return;
    const at = made(); // it may have another port since
    if (!at) continue;
    const { uid } = owner;
    all.add(uid);
    try {
      await server.serve(uid, at);
      if (!made()) await server.unserve(uid, at.address); // deleted meanwhile
    } catch (error) {
      const message = error instanceof Fault ? error.message : String(error);
      failed.set(uid, message);
      if (error instanceof Fault && error.kind === 'conflict') onTaken(uid);
    }
  }
  if (signal.aborted) return;
  const isOverdue = tries >= PATIENCE;
  const troubles = new Map<Uid, Trouble>();
  for (const [uid, message] of failed) {
    if (!isOverdue) continue;
    troubles.set(uid, { reason: 'NetworkFailed', message });
    if (told.get(uid) !== message) log.warn('the metadata of a microVM is not served', { uid, why: message });
  }
  for (const uid of told.keys()) if (!failed.has(uid)) log.info('the metadata of a microVM is served again', { uid });
  if (isOverdue || told.size > 0) health.tell('metadata', all, troubles);
  if (failed.size === 0) return;
  const next = { tries: tries + 1, told: isOverdue ? failed : told };
  const cancel = clock.after(RETRY_MS, () => void attempt(deps, signal, next));
  signal.addEventListener('abort', cancel, { once: true });
}
