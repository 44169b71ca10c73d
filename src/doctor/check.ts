import type { Clock } from '../ports/clock.ts';
import type { Files, Run } from '../ports/host.ts';
import type { ToolState } from '../ports/tools.ts';

/** What one check found. */
export interface Result {
  readonly name: string;
  /** `warn`: the daemon works, but not as well as it could. `fail`: it does not work, or VMs will not. */
  readonly status: 'ok' | 'warn' | 'fail';
  /** The state found, in a sentence. */
  readonly found: string;
  /** What to do; empty where there is nothing to mend. */
  readonly fix: string;
}

/** What a check may look at the host with. */
export interface CheckHost {
  readonly run: Run;
  readonly files: Files;
  readonly signal: AbortSignal;
  /** Directories of programs, separated by colons. */
  readonly path: string;
  readonly stateDirectory: string;
  readonly runDirectory: string;
  readonly clock: Pick<Clock, 'elapsed' | 'now'>;
  /** The settings of providers by which their programs are named, as far as they are known. */
  readonly settings: Readonly<Record<string, string>>;
  /** `FIRST-LAST` or `auto`, as the daemon's settings say; absent: they do not. */
  readonly vmmUsers?: string;
  /** Absent where no daemon answers. */
  readonly daemon?: DaemonFindings;
}

/** What a daemon that runs has found out, in its own environment. */
export interface DaemonFindings {
  /** Absent of one that is older than these. */
  readonly stateDirectory?: string;
  readonly runDirectory?: string;
  /** Its managed network; no CIDR: it has none. */
  readonly network?: { readonly bridge: string; readonly cidr: string };
  /** MiB that it may have beside what it keeps for the host, and where that is less than the host's, why. */
  readonly capacity?: { readonly memoryInMb: number; readonly notes: readonly string[] };
  readonly tools: readonly ToolState[];
  /** Those whose program it tells. */
  readonly providers: readonly {
    readonly name: string;
    readonly program: string;
    readonly version: string;
    readonly available: boolean;
    readonly why: string;
    /** Words for what it can do; absent: they were not asked for. */
    readonly capabilities?: readonly string[];
  }[];
}

/** One question to the host, which changes nothing there. What is thrown becomes a failed result. */
export interface Check {
  readonly name: string;
  examine(host: CheckHost): Promise<readonly Result[]>;
}
