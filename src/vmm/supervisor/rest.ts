import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Fault } from '../../domain/fault.ts';

/** What a VMM answered. */
export interface RestAnswer {
  readonly status: number;
  /** As it came: what is meant as JSON is not always. At most {@link MAX_ANSWER_BYTES}. */
  readonly text: string;
}

/** An answer longer than this is no VMM's: a guest that has broken out must not fill our memory. */
const MAX_ANSWER_BYTES = 1 << 20;

/**
 * A VMM's HTTP interface on a unix socket. Requests go one after the other over one connection, which is kept: the real
 * ones serve few, and what is asked first is answered first.
 */
export class RestSocket {
  readonly #path: string;
  readonly #whose: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #known = new WeakSet<Duplex>();
  readonly #closed = Promise.withResolvers<void>();

  /** Resolves when a connection that there was has ended, by whosoever. */
  readonly closed = this.#closed.promise;

  /** @param whose - the VMM, as users know it, for messages */
  constructor(path: string, whose: string) {
    this.#path = path;
    this.#whose = whose;
  }

  /**
   * Asks once. A connection that was kept and has ended meanwhile is an error like any other: what was asked may have been
   * done.
   *
   * @param body - sent as JSON; absent: none
   * @throws Fault `tool` VmmUnreachable when there is no answer, or none that is HTTP; the signal's reason
   */
  ask(method: 'GET' | 'PUT' | 'PATCH', path: string, signal: AbortSignal, body?: unknown): Promise<RestAnswer> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<RestAnswer>();
    const fail = (cause: Error): void => {
      if (signal.aborted) reject(signal.reason);
      else
        reject(
          new Fault('tool', `${this.#whose} does not answer ${method} ${path} on ${this.#path}: ${cause.message}`, {
            reason: 'VmmUnreachable',
            cause,
          }),
        );
    };
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      accept: 'application/json',
      ...(text !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    };
    const asked = httpRequest({ socketPath: this.#path, agent: this.#agent, method, path, headers, signal });
    asked.once('error', fail);
    asked.once('socket', (socket) => {
      if (!this.#known.has(socket)) socket.once('close', () => this.#closed.resolve());
      this.#known.add(socket);
    });
    asked.once('response', (answer) => {
      readAll(answer).then((read) => resolve({ status: answer.statusCode ?? 0, text: read }), fail);
    });
    asked.end(text);
    return promise;
  }

  close(): void {
    this.#agent.destroy();
    this.#closed.resolve();
  }
}

async function readAll(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer) {
    const piece = Buffer.from(chunk as Uint8Array);
    bytes += piece.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      answer.destroy();
      throw new Error(`its answer is over ${MAX_ANSWER_BYTES} bytes`);
    }
    chunks.push(piece);
  }
  return Buffer.concat(chunks).toString('utf8');
}
