import type { Caller } from '../domain/caller.ts';

/** The other end of a connection. */
export interface Peer {
  readonly kind: 'tcp' | 'unix';
  /** An IP address, or `unix`. */
  readonly address: string;
  /** The subject of the client's certificate, which has been verified. */
  readonly certificate?: string;
}

/** A call that has not been let in yet. */
export interface Knock {
  readonly peer: Peer;
  /** The header's value. */
  readonly authorization: string | undefined;
}

/** Asked before a request's body is read; throws Fault `unauthenticated`, `denied` or `full` to refuse it. */
export type Gate = (knock: Knock) => Caller;

/** Everybody who reaches an endpoint may call. */
export const openGate: Gate = ({ peer }) => callerOf(peer);

/** What a connection alone says of its caller. */
export function callerOf({ kind, address, certificate }: Peer): Caller {
  const who = kind === 'unix' ? 'unix socket' : certificate === undefined ? 'anybody' : `certificate ${certificate}`;
  return { who, from: address, access: 'read-write' };
}

/** The one call that anybody may make who reaches the port: for what watches daemons and has no token. */
export const OPEN_CALL = '/grpc.health.v1.Health/Check';
