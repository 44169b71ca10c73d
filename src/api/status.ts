import type { Message } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { Fault, type FaultKind, type Violation } from '../domain/fault.ts';
import { BadRequestSchema, ErrorInfoSchema } from '../gen/google/rpc/error_details_pb.ts';
import { type Status, StatusSchema } from '../gen/google/rpc/status_pb.ts';
import type { Log } from '../ports/log.ts';

/** The one mapping: a kind without a row does not compile. */
const CODES = {
  invalid: Code.InvalidArgument,
  unbuilt: Code.Unimplemented,
  expired: Code.OutOfRange,
  unauthenticated: Code.Unauthenticated,
  denied: Code.PermissionDenied,
  not_found: Code.NotFound,
  exists: Code.AlreadyExists,
  conflict: Code.Aborted,
  refused: Code.FailedPrecondition,
  full: Code.ResourceExhausted,
  timeout: Code.DeadlineExceeded,
  cancelled: Code.Canceled,
  tool: Code.Unavailable,
} as const satisfies Record<FaultKind, Code>;

/** @see https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto */
const HTTP = {
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
} as const satisfies Record<Code, number>;

/**
 * On gRPC an error travels in trailers, of which clients take 8 KiB by default
 * (grpc-java, grpc-core): a spec that is wrong in a thousand places would be
 * told as a broken connection. These are characters.
 */
const MAX_MESSAGE = 2_000;
const MAX_VIOLATIONS = 3_000;

/** Names the errors of this daemon in a google.rpc.ErrorInfo. */
const DOMAIN = 'flintlock';

/** What every surface says about an error: each puts it into its own shape. */
export interface WireError {
  readonly code: Code;
  readonly http: number;
  readonly message: string;
  readonly details: readonly Detail[];
}

type Detail = { readonly desc: GenMessage<Message>; readonly value: Message };

/**
 * What a caller is told about something thrown. What is no Fault is a bug:
 * it is logged in full, and the caller learns only that there is one.
 *
 * @param signal - the call's: an error after its end is the end's doing
 */
export function wireError(thrown: unknown, log: Log, signal?: AbortSignal): WireError {
  if (thrown instanceof Fault) return ofFault(thrown);
  // The library's own verdicts: malformed bytes, a message that is too large, a deadline.
  if (thrown instanceof ConnectError)
    return { code: thrown.code, http: HTTP[thrown.code], message: cut(thrown.rawMessage), details: [] };
  if (signal?.aborted && isAbort(thrown, signal)) {
    if (signal.reason instanceof Fault || signal.reason instanceof ConnectError) return wireError(signal.reason, log);
    return { code: Code.Canceled, http: HTTP[Code.Canceled], message: 'The call was cancelled', details: [] };
  }
  log.error('a call failed by a bug of the daemon', { error: thrown });
  const message = 'Internal error of the daemon: its log says more';
  return { code: Code.Internal, http: HTTP[Code.Internal], message, details: [] };
}

function ofFault(fault: Fault): WireError {
  const code = CODES[fault.kind];
  return { code, http: HTTP[code], message: cut(fault.message), details: detailsOf(fault) };
}

const isAbort = (thrown: unknown, signal: AbortSignal): boolean =>
  thrown === signal.reason ||
  (thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'TimeoutError' || isHungUp(thrown)));

/** What Node says of writing to a caller who is not there any more. */
const HUNG_UP = new Set<unknown>([
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_WRITE_AFTER_END',
  'ERR_HTTP2_INVALID_STREAM',
  'ERR_HTTP2_STREAM_ERROR',
  'ECONNRESET',
  'EPIPE',
]);
const isHungUp = (error: Error): boolean => 'code' in error && HUNG_UP.has(error.code);

function detailsOf(fault: Fault): readonly Detail[] {
  const details: Detail[] = [];
  if (fault.violations.length > 0) {
    const fieldViolations = asMany(fault.violations);
    details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  if (fault.reason !== undefined) {
    const value = create(ErrorInfoSchema, { reason: fault.reason, domain: DOMAIN });
    details.push({ desc: ErrorInfoSchema, value });
  }
  return details;
}

const cut = (message: string): string => (message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message);

/** As many as there is room for, then how many there are more. */
function asMany(violations: readonly Violation[]): { field: string; description: string }[] {
  const fitting: { field: string; description: string }[] = [];
  let room = MAX_VIOLATIONS;
  for (const { field, description } of violations) {
    room -= field.length + description.length;
    if (room < 0) {
      const left = violations.length - fitting.length;
      return [...fitting, { field: '', description: `and ${left} more, which did not fit into this answer` }];
    }
    fitting.push({ field, description });
  }
  return fitting;
}

/** For gRPC: the details travel in `grpc-status-details-bin`. */
export function connectError(thrown: unknown, log: Log, signal?: AbortSignal): ConnectError {
  if (thrown instanceof ConnectError && thrown.rawMessage.length <= MAX_MESSAGE) return thrown;
  const { code, message, details } = wireError(thrown, log, signal);
  return new ConnectError(message, code, undefined, [...details], thrown);
}

/** The same for a Fault, of which there is nothing to log. */
export function faultError(fault: Fault): ConnectError {
  const { code, message, details } = ofFault(fault);
  return new ConnectError(message, code, undefined, [...details], fault);
}

/** For HTTP: the body of an error, as `{code, message, details}`. */
export function rpcStatus({ code, message, details }: WireError): Status {
  return create(StatusSchema, { code, message, details: details.map(({ desc, value }) => anyPack(desc, value)) });
}
