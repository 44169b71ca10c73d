import { Periodic } from '../../base/periodic.ts';
import type { AuditReport } from '../../domain/audit.ts';
import { Fault } from '../../domain/fault.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';

export interface PeriodicAuditDeps {
  /** Changes nothing. */
  readonly audit: (signal: AbortSignal) => Promise<AuditReport>;
  readonly clock: Clock;
  readonly log: Log;
  /** From the end of one to the next; 0: never. */
  readonly everyMs: number;
}

/** A host whose tools hang must not keep it for ever. */
const LIMIT_MS = 120_000;
/** Of each sort, so many are named in a line. */
const MAX_NAMED = 10;

/** Compares the host with the ledger from time to time, so that leaks are seen before they hurt. @returns how to stop */
export function auditPeriodically({ audit, clock, log, everyMs }: PeriodicAuditDeps): () => Promise<void> {
  if (everyMs === 0) return async () => undefined;
  let before = '';
  const look = async (signal: AbortSignal): Promise<void> => {
    const { leaked, missing } = await audit(signal);
    const found = JSON.stringify([leaked, missing]);
    if (found !== before && leaked.length + missing.length > 0) {
      const names = (lines: AuditReport['leaked']): string[] =>
        lines.slice(0, MAX_NAMED).map(({ kind, name }) => `${kind} ${name}`);
      log.warn('an audit found that host and ledger differ: "flintlock audit" says more', {
        leaks: leaked.length,
        leaked: names(leaked),
        lost: missing.length,
        missing: names(missing),
      });
    } else if (found !== before && before !== '') log.info('an audit found that host and ledger agree again');
    before = leaked.length + missing.length > 0 ? found : '';
  };
  const onFailure = (error: unknown): void => log.warn('the host could not be compared with the ledger', { error });
  const periodic = new Periodic({ clock, everyMs, limitMs: LIMIT_MS, look, onFailure }).start();
  return () => periodic.stop(new Fault('cancelled', 'the daemon ends'));
}
