import type { FastifyReply, FastifyRequest } from 'fastify';
import { type WebSocket, WebSocketServer } from 'ws';
import { Fault } from '../../domain/fault.ts';
import type { CallFlow } from '../flow/flow.ts';
import { REQUEST_ID } from '../request-id.ts';
import type { Upgrade } from './upgrade.ts';

export type Message = Readonly<{ is: 'text'; text: string } | { is: 'bytes'; bytes: Buffer }>;

export interface SocketOptions {
  /** The one that is spoken; who asks for others gets none of them. */
  readonly protocol: string;
  /** It is pinged so often, so that nobody on the way takes it for dead, in milliseconds. */
  readonly pingMs: number;
  /** Whose caller has so long to take a piece; absent: as long as it likes. */
  readonly room?: Pick<CallFlow, 'sends' | 'sent'>;
}

/** Of one message; more closes it with 1009. */
export const MAX_MESSAGE_BYTES = 256 << 10;
/** What waits to be read; then the caller is held up. */
const MAX_WAITING_BYTES = 256 << 10;
const MAX_WAITING = 1_000;
/** Who has not answered so many pings in a row is gone. */
const MAX_PINGS = 3;
/** For the other side's word that it closes too. */
const CLOSE_MS = 2_000;

/** See RFC 6455, 7.4.1. */
export const CLOSED = { done: 1000, failed: 1011 } as const;

/** A WebSocket of which no more is read than is taken, and to which no more is written than it takes. */
export class MessageSocket {
  readonly #socket: WebSocket;
  readonly #room: SocketOptions['room'];
  readonly #waiting: Message[] = [];
  #waitingBytes = 0;
  #failure: Fault | undefined;
  #wake = (): void => undefined;
  #unanswered = 0;

  /** @returns undefined: it was no proper request for one, and is answered */
  static take(
    request: FastifyRequest,
    reply: FastifyReply,
    { socket, head }: Upgrade,
    options: SocketOptions,
  ): MessageSocket | undefined {
    const { protocol } = options;
    const server = new WebSocketServer({
      ...{ noServer: true, clientTracking: false, perMessageDeflate: false },
      ...{ maxPayload: MAX_MESSAGE_BYTES, closeTimeout: CLOSE_MS },
      handleProtocols: (offered) => (offered.has(protocol) ? protocol : false),
    });
    const id = reply.raw.getHeader(REQUEST_ID);
    server.on('headers', (headers) => void headers.push(`${REQUEST_ID}: ${String(id)}`));
    reply.hijack();
    let taken: MessageSocket | undefined;
    // Without a verifier of its own it calls back at once, or has refused.
    server.handleUpgrade(request.raw, socket, head, (webSocket) => {
      reply.raw.statusCode = 101;
      taken = new MessageSocket(webSocket, options);
    });
    return taken;
  }

  private constructor(socket: WebSocket, { pingMs, room }: SocketOptions) {
    this.#socket = socket;
    this.#room = room;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: Buffer, isBinary) =>
      this.#arrived(isBinary ? { is: 'bytes', bytes: data } : { is: 'text', text: data.toString() }, data.length),
    );
    socket.on('error', (cause) =>
      this.#fail(new Fault('cancelled', `The caller's WebSocket failed: ${cause.message}`, { cause })),
    );
    const pings = setInterval(() => this.#ping(), pingMs);
    socket.on('pong', () => {
      this.#unanswered = 0;
    });
    socket.once('close', () => {
      clearInterval(pings);
      this.#fail(new Fault('cancelled', 'The caller went away'));
    });
  }

  /** What comes, until it is closed. Read once. @throws Fault `cancelled` then */
  async *read(): AsyncGenerator<Message> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        this.#waitingBytes -= sizeOf(message);
        if (this.#waiting.length === 0) this.#socket.resume();
        yield message;
      } else if (this.#failure !== undefined) throw this.#failure;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  /** Resolves when it is on its way. @throws Error once it is closed */
  async send(data: string | Uint8Array): Promise<void> {
    this.#room?.sends();
    await new Promise<void>((resolve, reject) =>
      this.#socket.send(data, (error) => (error ? reject(error) : resolve())),
    );
    this.#room?.sent();
  }

  /** Reads no more, and resolves when both sides have closed it, or the other one has not in time. */
  async close(code: number): Promise<void> {
    this.#fail(new Fault('cancelled', 'The WebSocket is closed'));
    this.#socket.resume(); // the other side's word comes behind what was sent before
    if (this.#socket.readyState === this.#socket.CLOSED) return;
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.#socket.close(code);
    await closed;
  }

  #arrived(message: Message, bytes: number): void {
    if (this.#failure) return;
    this.#unanswered = 0;
    this.#waiting.push(message);
    this.#waitingBytes += bytes;
    if (this.#waitingBytes >= MAX_WAITING_BYTES || this.#waiting.length >= MAX_WAITING) this.#socket.pause();
    this.#wake();
  }

  /** Of one that is held up no answer is read; that it is gone is seen by what is written. */
  #ping(): void {
    if (!this.#socket.isPaused && ++this.#unanswered > MAX_PINGS) this.#socket.terminate();
    else if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  #fail(why: Fault): void {
    this.#failure ??= why;
    this.#wake();
  }
}

const sizeOf = (message: Message): number => (message.is === 'text' ? message.text.length : message.bytes.length);
