import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type ApiProcess, startApiProcess } from '../../../test/support/api-process.ts';

const MIB = 1 << 20;
const HEAP_MB = 320;
/** What a flood may take while it goes on: 2,000 calls of one caller, at most. */
const MOST_MIB = 160;
/** How often a thing is sent on each connection. */
const TIMES = 6_000;
/** Another caller than who is answered meanwhile. */
const FLOODER = '127.0.0.2';
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const [DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, WINDOW, CONTINUATION] = [0, 1, 2, 3, 4, 6, 8, 9] as const;
const [END_STREAM, END_HEADERS] = [1, 4];

/** @see https://www.rfc-editor.org/rfc/rfc9113#section-4.1 */
function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}
/** A field that is put into the table: RFC 7541 section 6.2.1. */
const field = (name: string, value: string): Buffer => {
  const text = (one: string): Buffer => Buffer.concat([Buffer.from([one.length]), Buffer.from(one)]);
  return Buffer.concat([Buffer.from([0x40]), text(name), text(value)]);
};
const REQUEST = Buffer.concat([
  Buffer.from([0x83, 0x86]), // POST, http
  field(':path', '/flintlock.microvm.v1.HostService/ServerInfo'),
  field(':authority', 'a'),
  field('content-type', 'application/grpc'),
]);
const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const odd = (i: number): number => 2 * i + 1;

/** What is sent over and over, by its number. */
const FLOODS: Readonly<Record<string, { readonly begin?: Buffer; readonly each: (i: number) => Buffer }>> = {
  pings: { each: () => frame(PING, 0, 0, Buffer.alloc(8)) },
  settings: { each: () => frame(SETTINGS, 0, 0) },
  'settings with values': {
    each: (i) => frame(SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), number(i % 65_535)])),
  },
  'streams that are reset at once': {
    each: (i) => Buffer.concat([frame(HEADERS, END_HEADERS, odd(i), REQUEST), frame(RST, 0, odd(i), number(8))]),
  },
  'streams that say nothing more': { each: (i) => frame(HEADERS, END_HEADERS, odd(i), REQUEST) },
  'streams without a window': {
    begin: frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])),
    each: (i) =>
      Buffer.concat([frame(HEADERS, END_HEADERS, odd(i), REQUEST), frame(DATA, END_STREAM, odd(i), Buffer.alloc(5))]),
  },
  'empty pieces of a body': {
    begin: frame(HEADERS, END_HEADERS, 1, REQUEST),
    each: () => frame(DATA, 0, 1),
  },
  'headers that go on and on': {
    begin: frame(HEADERS, 0, 1, REQUEST),
    each: (i) => frame(CONTINUATION, 0, 1, Buffer.concat([field(`x-${i % 100}`, 'y'.repeat(100))])),
  },
  'headers from the table, thousands a call': {
    begin: frame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat([REQUEST, field('x-long', 'z'.repeat(120))])),
    each: (i) => frame(HEADERS, END_HEADERS | END_STREAM, odd(i + 1), Buffer.alloc(8_000, 0xbe)),
  },
  priorities: { each: (i) => frame(PRIORITY, 0, odd(i), Buffer.concat([number(0), Buffer.from([1])])) },
  'windows that grow': { each: () => frame(WINDOW, 0, 0, number(1)) },
};

let api: ApiProcess;
beforeAll(async () => {
  api = await startApiProcess({ count: 3, bytes: 1_000 }, HEAP_MB);
});
afterAll(() => api?.end());

async function holds(): Promise<number> {
  const { heapUsed, external } = await api.memory();
  return (heapUsed + external) / MIB;
}

/** @returns the connection, which reads nothing */
function silent(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', localAddress: FLOODER });
  socket.on('error', () => undefined);
  socket.pause();
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** Sends as long as it is let, and at most so many. */
async function flood(socket: Socket, each: (i: number) => Buffer, times: number): Promise<void> {
  for (let i = 0; i < times && !socket.destroyed; ) {
    const pieces: Buffer[] = [];
    for (let k = 0; k < 500; k++) pieces.push(each(i++));
    if (!socket.write(Buffer.concat(pieces)))
      await Promise.race([once(socket, 'drain'), once(socket, 'close'), expired()]).catch(() => undefined);
  }
}

/** Where nobody reads any more, nothing more is taken. */
const expired = (): Promise<void> => new Promise((done) => setTimeout(done, 200).unref());

async function answers(): Promise<void> {
  expect(api.ended()).toBeUndefined();
  // Not on a connection that was idle: the other end may be closing it.
  const info = await fetch(`http://127.0.0.1:${api.http}/v1/info`, { headers: { connection: 'close' } });
  expect([info.status, api.ended()]).toEqual([200, undefined]);
}

test.each(Object.keys(FLOODS))(
  'a flood of %s on some connections leaves the others alone, and takes little',
  async (name) => {
    const { begin, each } = FLOODS[name] ?? { each: () => Buffer.alloc(0) };
    const before = await holds();
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        const socket = silent(api.grpc);
        socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0), begin ?? Buffer.alloc(0)]));
        await flood(socket, each, TIMES);
      }),
    );
    await answers();
    // What is garbage by then counts until it is collected.
    await expect.poll(async () => (await holds()) - before, { timeout: 30_000 }).toBeLessThan(MOST_MIB);
  },
);

test('requests in a row on one connection whose answers nobody reads take little', async () => {
  const before = await holds();
  const request = Buffer.from('GET /v1/microvms HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await Promise.all(Array.from({ length: 10 }, () => flood(silent(api.http), () => request, TIMES)));
  await answers();
  // What is garbage by then counts until it is collected.
  await expect.poll(async () => (await holds()) - before, { timeout: 30_000 }).toBeLessThan(MOST_MIB);
});
