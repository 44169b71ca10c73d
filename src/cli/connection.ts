import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { type Address, addressText } from './address.ts';

/** A connection is asked so often whether it lives, so that a watch does not wait on a dead host for ever. */
const PING_MS = 30_000;
const PONG_MS = 15_000;

/**
 * One HTTP/2 connection, made by the first request, kept, and made again when it was lost. It is our own because the library's lets an error that
 * follows another escape, which ends the program: so it is with a server that speaks something else.
 */
export class Connection {
  readonly authority: string;
  readonly #address: Address;
  #session: Promise<ClientHttp2Session> | undefined;
  #end = (): void => undefined;

  constructor(address: Address) {
    this.#address = address;
    this.authority = 'socket' in address ? 'http://localhost' : `http://${addressText(address)}`;
  }

  async request(method: string, path: string, headers: OutgoingHttpHeaders): Promise<ClientHttp2Stream> {
    this.#session ??= this.#open();
    const session = await this.#session;
    return session.request({ ...headers, ':method': method, ':path': path });
  }

  notifyResponseByteRead(): void {
    // nothing is counted: see the pings
  }

  close(): void {
    this.#end();
  }

  #open(): Promise<ClientHttp2Session> {
    const address = this.#address;
    const options = 'socket' in address ? { createConnection: () => connectSocket(address.socket) } : {};
    const session = connect(this.authority, options);
    const pings = setInterval(() => ping(session), PING_MS);
    this.#end = () => session.destroy(undefined, constants.NGHTTP2_CANCEL);
    session.once('close', () => {
      clearInterval(pings);
      this.#session = undefined; // the next request makes a new one
    });
    return new Promise((resolve, reject) => {
      session.on('error', reject); // and all later ones, which the streams report
      session.once('connect', () => resolve(session));
    });
  }
}

function ping(session: ClientHttp2Session): void {
  if (session.connecting || session.destroyed) return;
  const late = setTimeout(() => {
    session.destroy(Object.assign(new Error('the daemon does not answer any more'), { code: 'ETIMEDOUT' }));
  }, PONG_MS);
  session.ping(() => clearTimeout(late));
}
