import { createServer, type Server, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  /** Absent: none. */
  readonly body?: string;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  /** Absent: none. */
  readonly body?: string;
}

const MOST_CONNECTIONS = 10;
/** What a body may have where nobody said otherwise. */
export const PAYLOAD_BYTES = 51_200;
const FULL =
  'HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: 40\r\n\r\n{ "error": "Too many open connections" }';

/**
 * HTTP as Firecracker's own small server speaks it: a status line without a reason, connections that are kept whatever is
 * asked, ten of them, and errors that are no JSON.
 * @see https://github.com/firecracker-microvm/micro-http
 */
export function serveHttp(
  path: string,
  mostBytes: number,
  answer: (asked: Asked) => Promise<Answer | undefined>,
): Server {
  let open = 0;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (open === MOST_CONNECTIONS) {
      socket.end(FULL);
      return;
    }
    open++;
    socket.once('close', () => open--);
    new Conversation(socket, mostBytes, answer);
  });
  return server.listen({ path, readableAll: false });
}

class Conversation {
  readonly #socket: Socket;
  readonly #mostBytes: number;
  readonly #answer: (asked: Asked) => Promise<Answer | undefined>;
  #pending = Buffer.alloc(0);
  #turn: Promise<void> = Promise.resolve();

  constructor(socket: Socket, mostBytes: number, answer: (asked: Asked) => Promise<Answer | undefined>) {
    this.#socket = socket;
    this.#mostBytes = mostBytes;
    this.#answer = answer;
    socket.on('data', (bytes: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, bytes]);
      this.#read();
    });
  }

  #read(): void {
    for (;;) {
      const end = this.#pending.indexOf('\r\n\r\n');
      if (end < 0) return;
      const [first = '', ...headers] = this.#pending.subarray(0, end).toString('latin1').split('\r\n');
      const length = Number(
        headers.map((line) => /^content-length:\s*(\d+)\s*$/i.exec(line)?.[1]).find((one) => one !== undefined) ?? 0,
      );
      const wrong = this.#wrong(first, length);
      if (wrong !== undefined) {
        this.#pending = Buffer.alloc(0);
        const error = `{ "error": "${wrong}\nAll previous unanswered requests will be dropped." }`;
        this.#say({ status: 400, body: error });
        return;
      }
      const whole = end + 4 + length;
      if (this.#pending.length < whole) return;
      const body = this.#pending.subarray(end + 4, whole).toString();
      this.#pending = this.#pending.subarray(whole);
      const [method = '', path = ''] = first.split(' ');
      const asked: Asked = { method, path, ...(length > 0 && { body }) };
      this.#turn = this.#turn.then(async () => {
        const answer = await this.#answer(asked);
        if (answer) this.#say(answer);
      });
    }
  }

  #wrong(first: string, length: number): string | undefined {
    const [method = '', path = '', version] = first.split(' ');
    if (!['GET', 'PUT', 'PATCH', 'DELETE'].includes(method)) return 'Invalid HTTP Method: Unsupported HTTP method.';
    if (!path.startsWith('/')) return 'Invalid URI: Invalid URI: Expected absolute path.';
    if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') return 'Invalid HTTP Version: Unsupported HTTP version.';
    if (length > this.#mostBytes)
      return `Request payload with size ${length} is larger than the limit of ${this.#mostBytes} allowed by server.`;
    return undefined;
  }

  #say({ status, body }: Answer): void {
    const head = `HTTP/1.1 ${status} \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n`;
    const of =
      body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
    this.#socket.write(`${head}${of}\r\n${body ?? ''}`);
  }
}
