/** Who calls, and what it may do. Surfaces learn it once a call; services hold to it. */
export interface Caller {
  /** For the log: `token ci`, `certificate CN=web`, `unix socket`, `anybody`. Never a secret. */
  readonly who: string;
  /** The address that it calls from, or `unix`. */
  readonly from: string;
  readonly access: Access;
  /** What this call is named by in the log and in its answer. */
  readonly request?: string;
  /** The one namespace that it knows of; absent: all of them, and the host. */
  readonly namespace?: string;
  /** Aborts with a Fault once it may not call any more: its streams end. */
  readonly withdrawn?: AbortSignal;
}

export type Access = 'read-only' | 'read-write';
