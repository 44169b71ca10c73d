import type { Files, Run } from '../ports/host.ts';

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
}

/** One question to the host, which changes nothing there. What is thrown becomes a failed result. */
export interface Check {
  readonly name: string;
  examine(host: CheckHost): Promise<readonly Result[]>;
}
