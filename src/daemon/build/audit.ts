import { type AuditDeps, audit } from '../../engine/audit/audit.ts';
import { files } from '../../host/files.ts';
import type { Engine } from '../../service/needs.ts';
import type { Parts } from './parts.ts';
import type { BuiltVmms } from './vmms.ts';

/**
 * Compares the host with the ledger, and keeps what was found for the metrics.
 * @param sockets - the paths that this daemon listens at, as they are then
 */
export function buildAudit(
  { config, opened, log, metrics, processes }: Parts,
  { vmms, cgroups }: BuiltVmms,
  sockets: () => readonly string[],
): Engine['audit'] {
  const { names, store, ledger, network } = opened;
  const deps: AuditDeps = {
    ...{ names, files, processes, network, ledger, log },
    ...{ vmms, cgroups, sockets, patience: config.patience },
    uids: () => store.uids(),
  };
  return metrics.audit((options: { readonly fix: boolean }, signal: AbortSignal) => audit(deps, options, signal));
}
