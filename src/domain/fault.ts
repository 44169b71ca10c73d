import type { Reason } from './reason.ts';

/**
 * The kinds of expected failure. Each has one gRPC and one HTTP code, in
 * `api/status.ts`. Anything thrown that is no Fault is a bug.
 */
export type FaultKind =
  | 'invalid' // the request is wrong; see `violations`
  | 'unbuilt' // a call that this version does not have
  | 'expired' // a cursor that is too old
  | 'unauthenticated'
  | 'denied'
  | 'not_found'
  | 'exists'
  | 'conflict' // somebody else wrote first
  | 'refused' // the state of things forbids it
  | 'full' // no room: memory, disk, addresses
  | 'timeout'
  | 'cancelled'
  | 'tool'; // a tool, VMM or registry failed

/** One wrong field, named as in the API: `volumes[0].source.container_source`. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

export interface FaultOptions extends ErrorOptions {
  /** The reason that a microVM's status shows for this fault. */
  readonly reason?: Reason;
  /** No retry can mend it. Default: true for invalid, not_found and refused. */
  readonly terminal?: boolean;
  readonly violations?: readonly Violation[];
}

const TERMINAL: ReadonlySet<FaultKind> = new Set(['invalid', 'unbuilt', 'not_found', 'refused', 'exists']);

/**
 * The only error that crosses a room's door. Its message says what was tried,
 * on what, the state found, and where it helps what to do.
 */
export class Fault extends Error {
  readonly kind: FaultKind;
  readonly reason: Reason | undefined;
  readonly terminal: boolean;
  readonly violations: readonly Violation[];

  constructor(kind: FaultKind, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Fault';
    this.kind = kind;
    this.reason = options.reason;
    this.terminal = options.terminal ?? TERMINAL.has(kind);
    this.violations = options.violations ?? [];
  }

  /** All wrong fields of one request, at once. */
  static invalid(violations: readonly Violation[]): Fault {
    const text = violations.map((v) => `${v.field}: ${v.description}`).join('; ');
    return new Fault('invalid', `Invalid request: ${text}`, { violations });
  }
}
