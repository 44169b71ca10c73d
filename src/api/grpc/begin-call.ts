import { constants, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Caller } from '../../domain/caller.ts';
import type { CallFlow, Flow } from '../flow/flow.ts';
import { callerOf, type Gate, OPEN_CALL, type Peer } from '../gate.ts';
import { REQUEST_ID, requestIdOf } from '../request-id.ts';
import type { Rounds } from './rounds.ts';

/** What the calls of a connection share. */
export interface Connection {
  readonly session: Http2Session;
  readonly peer: Peer;
  readonly turns: Rounds;
}

/** A call of which nothing but its headers is known. */
export interface Arrived {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
  /** It goes on: see `flow/limits.ts`. */
  readonly isStream: boolean;
  readonly connection: Connection;
}

export interface Begun {
  readonly id: string;
  readonly caller: Caller;
  /** Absent of the call that anybody may make, and of one that is refused. */
  readonly held: CallFlow | undefined;
  /** Why it may not go on. */
  readonly refused: { readonly thrown: unknown } | undefined;
}

/** Who calls, and whether there is room for the call: before its body is read. */
export function beginCall({ gate, flow }: { readonly gate: Gate; readonly flow: Flow }, arrived: Arrived): Begun {
  const { stream, headers, path, isStream, connection } = arrived;
  const { peer, session } = connection;
  const id = requestIdOf(headers[REQUEST_ID]);
  let caller = callerOf(peer);
  let held: CallFlow | undefined;
  let refused: Begun['refused'];
  try {
    if (path !== OPEN_CALL) {
      caller = gate({ peer, authorization: headers.authorization });
      held = flow.enter(caller, session, isStream, () => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM));
      stream.once('close', () => held?.end());
    }
  } catch (thrown) {
    refused = { thrown };
  }
  return { id, caller: { ...caller, request: id }, held, refused };
}

/** So long the rest of a request may come whose answer is whole. */
const REST_MS = 2_000;

/**
 * A request that was answered before all of it was read: nobody would read it
 * any more, and the caller, whose window is full, never end.
 */
export function discardRest(stream: ServerHttp2Stream): void {
  if (stream.readableEnded) return;
  stream.removeAllListeners('data'); // those of Node's adapter pause the stream
  stream.resume();
  // A caller that never ends its request would hold the stream: RFC 9113 section 8.1.
  const late = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), REST_MS);
  stream.once('close', () => clearTimeout(late));
}
