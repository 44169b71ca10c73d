import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** A request that wants to go on as a WebSocket: the connection, and what has come behind its head. */
export interface Upgrade {
  readonly socket: Duplex;
  readonly head: Buffer;
}

export type Upgrades = WeakMap<IncomingMessage, Upgrade>;

/** The path of a route that goes on as a WebSocket ends so. Everywhere else the wish is passed over, as HTTP has it. */
const SOCKET_PATH = /^[^?]*\/exec(?:\?|$)/;

export const wantsSocket = ({ method, url = '', headers }: IncomingMessage): boolean =>
  method === 'GET' && /^websocket$/i.test(headers.upgrade ?? '') && SOCKET_PATH.test(url);

/**
 * An answer to such a request, for whoever answers every other: it says why not, and that is the end of the connection, or its
 * route takes the connection over. It is closed with the connection.
 */
export function answerTo(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as Socket); // of a server of Node's it is one, or TLS over one
  response.once('finish', () => (socket as Socket).destroySoon());
  return response;
}

/**
 * Pages in a browser can send no header with a WebSocket: they name their token among its protocols, as
 * `flintlock.bearer.` and the token in base64url.
 */
const TOKEN_PROTOCOL = /(?:^|[\s,])flintlock\.bearer\.([A-Za-z0-9_-]+)(?:$|[\s,])/;

export function authorizationOf({ headers }: IncomingMessage, isUpgrade: boolean): string | undefined {
  if (!isUpgrade || headers.authorization !== undefined) return headers.authorization;
  const [, token] = TOKEN_PROTOCOL.exec(headers['sec-websocket-protocol'] ?? '') ?? [];
  return token === undefined ? undefined : `Bearer ${Buffer.from(token, 'base64url').toString()}`;
}
