import type { Acts } from '../../ports/acts.ts';
import type { Processes, Run } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Opened } from '../open.ts';
import type { Config } from '../settings.ts';

/** What every builder may use. */
export interface Parts {
  readonly config: Config;
  readonly opened: Opened;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Measured, too. */
  readonly acts: Acts;
  readonly run: Run;
  readonly processes: Processes;
  /** Aborts when the daemon ends. */
  readonly ending: AbortSignal;
}
