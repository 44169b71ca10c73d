import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect,
  constants,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { getCACertificates } from 'node:tls';
import { hostAndPort } from './address.ts';
import { PING_MS, PONG_MS, WINDOW_BYTES } from './connection-numbers.ts';
import type { Reach } from './reach.ts';

/**
 * One HTTP/2 connection, made by the first request, kept, and made again when it was lost. It is our own because the library's lets an error that
 * follows another escape, which ends the program: so it is with a server that speaks something else.
 */
export class Connection {
  readonly authority: string;
  readonly #reach: Reach;
  #session: Promise<ClientHttp2Session> | undefined;
  #end = (): void => undefined;

  constructor(reach: Reach) {
    const { address, tls } = reach;
    this.#reach = reach;
    this.authority = 'socket' in address ? 'http://localhost' : `${tls ? 'https' : 'http'}://${hostAndPort(address)}`;
  }

  async request(method: string, path: string, headers: OutgoingHttpHeaders): Promise<ClientHttp2Stream> {
    this.#session ??= this.#open();
    const session = await this.#session;
    const { token } = this.#reach;
    const known = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return session.request({ ...headers, ...known, ':method': method, ':path': path });
  }

  notifyResponseByteRead(): void {
    // nothing is counted: see the pings
  }

  close(): void {
    this.#end();
  }

  #options(): ClientSessionOptions | SecureClientSessionOptions {
    const { address, tls } = this.#reach;
    const settings = { initialWindowSize: WINDOW_BYTES };
    if ('socket' in address) return { settings, createConnection: () => connectSocket(address.socket) };
    if (!tls) return { settings };
    const { ca, cert, key, serverName } = tls;
    return {
      settings,
      // What the host trusts is trusted too: Node has a list of its own.
      ca: ca ?? [...getCACertificates('default'), ...getCACertificates('system')],
      minVersion: 'TLSv1.3',
      ...(cert && { cert }),
      ...(key && { key }),
      ...(serverName !== undefined && { servername: serverName }),
    };
  }

  #open(): Promise<ClientHttp2Session> {
    const session = connect(this.authority, this.#options());
    const pings = setInterval(() => ping(session), PING_MS);
    this.#end = () => session.destroy(undefined, constants.NGHTTP2_CANCEL);
    session.once('close', () => {
      clearInterval(pings);
      this.#session = undefined; // the next request makes a new one
    });
    // Why a daemon turns a connection away stands here alone.
    session.on('goaway', (code, _last, why) => {
      if (code !== constants.NGHTTP2_NO_ERROR && why && why.length > 0) session.destroy(new TurnedAway(why));
    });
    return new Promise((resolve, reject) => {
      session.on('error', reject); // and all later ones, which the streams report
      session.once('connect', () => {
        session.setLocalWindowSize(WINDOW_BYTES);
        resolve(session);
      });
    });
  }
}

/** A daemon said why it does not take this connection. */
export class TurnedAway extends Error {
  readonly code = 'ERR_TURNED_AWAY';

  constructor(why: Uint8Array) {
    super(Buffer.from(why).toString().slice(0, 500));
    this.name = 'TurnedAway';
  }
}

function ping(session: ClientHttp2Session): void {
  if (session.connecting || session.destroyed) return;
  const late = setTimeout(() => {
    session.destroy(Object.assign(new Error('the daemon does not answer any more'), { code: 'ETIMEDOUT' }));
  }, PONG_MS);
  session.ping(() => clearTimeout(late));
}
