import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';

const SERVICE = '/flintlock.microvm.v1.MicroVMService/';
const PREFIX = 5;
/** One that fills is emptied by us alone: a small window would measure the round trips. */
const WINDOW = 16 << 20;

export interface Answer {
  /** The one message, or the last of a stream, as it came. */
  readonly message: Buffer;
  readonly messages: number;
  readonly bytes: number;
}

/**
 * gRPC on one connection with next to no work of its own: what is measured is
 * the server, and both servers have the same client.
 */
export class Wire implements Disposable {
  readonly #session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
  }

  /** @param to - a port of loopback, or the path of a unix socket */
  static open(to: number | string): Promise<Wire> {
    return new Promise((done, fail) => {
      const session = connect('http://localhost', {
        createConnection: () => (typeof to === 'number' ? connectSocket(to, '127.0.0.1') : connectSocket(to)),
        settings: { initialWindowSize: WINDOW },
      });
      session.once('error', fail);
      session.once('connect', () => {
        session.setLocalWindowSize(WINDOW);
        session.off('error', fail);
        session.on('error', () => undefined); // the calls tell
        done(new Wire(session));
      });
    });
  }

  /** @throws Error with the server's code and words where it refuses */
  call(method: string, request: Uint8Array): Promise<Answer> {
    return new Promise((done, fail) => {
      const stream = this.#session.request({
        ':method': 'POST',
        ':path': SERVICE + method,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      let status: string | undefined;
      let words = '';
      const trailers = (headers: Readonly<Record<string, unknown>>): void => {
        if (headers['grpc-status'] === undefined) return;
        status = String(headers['grpc-status']);
        words = String(headers['grpc-message'] ?? '');
      };
      const frames = new Frames();
      stream.on('response', trailers);
      stream.on('trailers', trailers);
      stream.on('data', (chunk: Buffer) => frames.take(chunk));
      stream.on('error', fail);
      stream.on('close', () => {
        if (status === '0') done(frames.answer());
        else fail(new Error(`${method}: ${status ?? 'no status'} ${words}`));
      });
      const prefix = Buffer.alloc(PREFIX);
      prefix.writeUInt32BE(request.length, 1);
      stream.end(Buffer.concat([prefix, request]));
    });
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** Messages as they come; of all but the last only the length is looked at. */
class Frames {
  #chunks: Buffer[] = [];
  #length = 0;
  #messages = 0;
  #bytes = 0;
  #last: Buffer = Buffer.alloc(0);

  take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    this.#bytes += chunk.length;
    if (this.#length < PREFIX || this.#length < PREFIX + this.#next()) return;
    let rest = this.#whole();
    while (rest.length >= PREFIX) {
      const end = PREFIX + rest.readUInt32BE(1);
      if (rest.length < end) break;
      this.#last = rest.subarray(PREFIX, end);
      this.#messages++;
      rest = rest.subarray(end);
    }
    this.#chunks = [rest];
    this.#length = rest.length;
  }

  answer(): Answer {
    return { message: this.#last, messages: this.#messages, bytes: this.#bytes };
  }

  #next(): number {
    const [first] = this.#chunks;
    if (first && first.length >= PREFIX) return first.readUInt32BE(1);
    return this.#whole().readUInt32BE(1);
  }

  #whole(): Buffer {
    const [only = Buffer.alloc(0)] = this.#chunks;
    if (this.#chunks.length === 1) return only;
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [whole];
    return whole;
  }
}
