import { errorMessage } from '../base/error-text.ts';
import { Periodic } from '../base/periodic.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { MetadataServer, ServedAt } from '../ports/metadata-server.ts';
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
  let before = await attempt(deps, signal, { tries: 1, told: new Map() });
  if (!before) return;
  const { clock, log } = deps;
  const again = new Periodic({
    clock,
    everyMs: RETRY_MS,
    look: async () => {
      before = before && (await attempt(deps, signal, before));
      if (!before) end();
    },
    onFailure: (error) => log.error('the metadata of microVMs could not be looked after', { error }),
  });
  const end = (): void => {
    signal.removeEventListener('abort', end);
    void again.stop();
  };
  signal.addEventListener('abort', end, { once: true });
  again.start();
}

/** What was tried how often before, and said of whom. */
interface Before {
  readonly tries: number;
  readonly told: ReadonlyMap<Uid, string>;
}

/** @returns what the next one is to know; undefined: there is none */
async function attempt(
  deps: ServeMetadataDeps,
  signal: AbortSignal,
  { tries, told }: Before,
): Promise<Before | undefined> {
  const { ledger, server, health, log, onTaken } = deps;
  const failed = new Map<Uid, string>();
  const all = new Set<Uid>();
  for (const { owner, kind, key } of [...ledger.ofKind('metadata'), ...ledger.ofKind('macvtap-metadata')]) {
    const made = (): ServedAt | undefined => {
      const entry = ledger.find(owner, kind, key);
      return entry?.made === true ? entry.intent : undefined;
    };
    if (signal.aborted) return undefined;
    const at = made(); // it may have another port since
    if (!at) continue;
    const { uid } = owner;
    all.add(uid);
    try {
      await server.serve(uid, at);
      if (!made()) await server.unserve(uid, at.address); // deleted meanwhile
    } catch (error) {
      const message = errorMessage(error);
      failed.set(uid, message);
      if (error instanceof Fault && error.kind === 'conflict') onTaken(uid);
    }
  }
  if (signal.aborted) return undefined;
  const isOverdue = tries >= PATIENCE;
  const troubles = new Map<Uid, Trouble>();
  for (const [uid, message] of failed) {
    if (!isOverdue) continue;
    troubles.set(uid, { reason: 'NetworkFailed', message });
    if (told.get(uid) !== message) log.warn('the metadata of a microVM is not served', { uid, why: message });
  }
  for (const uid of told.keys()) if (!failed.has(uid)) log.info('the metadata of a microVM is served again', { uid });
  if (isOverdue || told.size > 0) health.tell('metadata', all, troubles);
  return failed.size === 0 ? undefined : { tries: tries + 1, told: isOverdue ? failed : told };
}
