import { request } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import type { Attack, Port } from './bytes.ts';

/** What came back: a word to count, and what is wrong with it. */
export interface Outcome {
  readonly word: string;
  readonly finding?: string;
}

/** Every call that is not given up by its caller must be answered by then. */
const ANSWER_MS = 20_000;
/** So much of an answer is looked at. */
const MAX_ANSWER = 64 << 10;
/** How long a raw connection stays once all is written: most are cut by the daemon before. */
const RAW_MS = 150;
/** INTERNAL and UNKNOWN, in whichever form the protocol has. */
const BUG = /"code":\s*"(internal|unknown|13|2)"|"code":\s*(13|2)\b|grpc-status:\s*(13|2)\b/i;
/** google.rpc.Code */
const UNKNOWN = 2;
const INTERNAL = 13;

/** A body of 60 MB is written at once: beyond its 10 MiB Node ends a stream itself, before the daemon has seen all of it. */
const SESSION_MIB = 512;

export type Sockets = Readonly<Record<Port, string>>;

/** A caller over HTTP/2 that sends whatever it is told to, on a connection that is made anew when the daemon ends it. */
export class Caller {
  readonly #sockets: Sockets;
  #session: ClientHttp2Session | undefined;

  constructor(sockets: Sockets) {
    this.#sockets = sockets;
  }

  run(attack: Attack): Promise<Outcome> {
    switch (attack.kind) {
      case 'call':
        return this.#tried(attack);
      case 'http':
        return http(this.#sockets.http, attack);
      case 'raw':
        return raw(this.#sockets[attack.port], attack.bytes, attack.port);
      default:
        return attack satisfies never;
    }
  }

  close(): void {
    this.#session?.destroy();
  }

  #open(): ClientHttp2Session {
    const old = this.#session;
    if (old && !old.closed && !old.destroyed) return old;
    const session = connectHttp2('http://localhost', {
      maxSessionMemory: SESSION_MIB,
      createConnection: () => connect(this.#sockets.grpc),
    });
    session.on('error', () => session.destroy());
    session.on('goaway', () => session.close());
    this.#session = session;
    return session;
  }

  /** A connection that the daemon ended takes innocent calls with it: what was broken is tried again on a new one. */
  async #tried(attack: Attack & { kind: 'call' }): Promise<Outcome> {
    const first = await this.#call(attack);
    if (!first.isBroken) return first;
    this.#session?.destroy();
    const second = await this.#call(attack);
    // What breaks the rules of HTTP/2 itself may be ended like that.
    if (!second.isBroken || 'content-length' in attack.headers) return second;
    return { ...second, finding: 'the stream was reset with INTERNAL_ERROR' };
  }

  #call({
    path,
    headers,
    body,
    patienceMs,
  }: Attack & { kind: 'call' }): Promise<Outcome & { readonly isBroken?: boolean }> {
    return new Promise((done) => {
      const session = this.#open();
      const stream = session.request({ ':method': 'POST', ':path': path, te: 'trailers', ...headers });
      let status = '';
      let http = 0;
      let text = '';
      const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), patienceMs ?? ANSWER_MS);
      stream.on('response', (answer) => {
        http = Number(answer[':status']);
        status = String(answer['grpc-status'] ?? status);
      });
      stream.on('trailers', (trailers) => {
        status = String(trailers['grpc-status'] ?? status);
      });
      stream.on('data', (data: Buffer) => {
        if (text.length < MAX_ANSWER) text += data.toString('latin1');
      });
      stream.on('error', () => undefined); // told by the code of its close
      stream.on('close', () => {
        clearTimeout(timer);
        const word = status !== '' ? `grpc ${status}` : http !== 0 ? `http2 ${http}` : `reset ${stream.rstCode}`;
        const wrong =
          Number(status || 0) === INTERNAL ||
          Number(status || 0) === UNKNOWN ||
          http === 500 ||
          (http !== 200 && BUG.test(text));
        const isLate = patienceMs === undefined && stream.rstCode === constants.NGHTTP2_CANCEL;
        const isBroken = stream.rstCode === constants.NGHTTP2_INTERNAL_ERROR;
        if (wrong || (http === 200 && errorInStream(text)))
          done({ word, finding: `answered ${word} ${text.slice(0, 300)}` });
        else if (isLate) done({ word: 'late', finding: `no answer in ${ANSWER_MS} ms` });
        else done({ word, isBroken });
      });
      stream.end(body);
    });
  }
}

/** How gRPC-web and Connect end a stream that failed: in its body. */
const errorInStream = (text: string): boolean =>
  /grpc-status:\s*(13|2)\b|"error":\{"code":"(internal|unknown)"/.test(text);

function http(socketPath: string, { method, path, headers, body }: Attack & { kind: 'http' }): Promise<Outcome> {
  return new Promise((done) => {
    let isLong = false;
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      asked.destroy();
      done(outcome);
    };
    const asked = request({ socketPath, method, path: asPath(path), headers, agent: false }, (answer) => {
      const status = answer.statusCode ?? 0;
      const isStream = /event-stream|octet-stream/.test(answer.headers['content-type'] ?? '');
      let text = '';
      answer.on('data', (data: Buffer) => {
        if (text.length < MAX_ANSWER) text += data.toString();
      });
      const finish = (): void => {
        const word = `http ${status}`;
        const isBug = status === 500 || (status >= 400 && BUG.test(text));
        end(isBug ? { word, finding: `answered ${word} ${text.slice(0, 300)}` } : { word });
      };
      answer.on('end', finish);
      answer.on('error', finish);
      if (isStream) {
        isLong = true;
        setTimeout(finish, 30);
      }
    });
    const timer = setTimeout(() => {
      if (!isLong) end({ word: 'late', finding: `no answer in ${ANSWER_MS} ms` });
    }, ANSWER_MS);
    asked.on('error', () => end({ word: 'http cut' }));
    asked.end(body);
  });
}

/** Node refuses to send what is no path; here it goes out as it is, but for what would end the line. */
const asPath = (path: string): string => path.replace(/[^\u0021-\u00ff]/g, '_');

function raw(socketPath: string, bytes: Uint8Array, port: Port): Promise<Outcome> {
  return new Promise((done) => {
    const socket = connect(socketPath);
    let text = '';
    let timer: NodeJS.Timeout | undefined;
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
      const isBug = port === 'http' && (/^HTTP\/1\.1 500/.test(text) || BUG.test(text));
      done(isBug ? { word: 'raw', finding: `answered ${text.slice(0, 300)}` } : { word: 'raw' });
    };
    socket.on('data', (data) => {
      if (text.length < MAX_ANSWER) text += data.toString('latin1');
    });
    socket.on('error', end);
    socket.on('close', end);
    timer = setTimeout(end, RAW_MS * 20);
    socket.write(bytes, () => {
      clearTimeout(timer);
      timer = setTimeout(end, RAW_MS);
    });
  });
}
