import fc, { type Arbitrary } from 'fast-check';

export type Port = 'grpc' | 'http';

/** One thing that a caller does: plain data, made of a seed. */
export type Attack =
  | {
      readonly kind: 'call';
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Uint8Array;
      /** Then the caller hangs up; absent: it waits for the answer, which must come. */
      readonly patienceMs?: number;
    }
  | {
      readonly kind: 'http';
      readonly method: string;
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Uint8Array;
    }
  | { readonly kind: 'raw'; readonly port: Port; readonly name: string; readonly bytes: Uint8Array };

interface Raw {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** @see https://www.rfc-editor.org/rfc/rfc9113#section-6 */
const T = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, push: 5, ping: 6, goaway: 7, window: 8, more: 9 };
const END_STREAM = 1;
const END_HEADERS = 4;

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK without a table and without Huffman: literal, never indexed. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, 'latin1');
    return Buffer.concat([lengthOf(bytes.length), bytes]);
  };
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0x10]), text(name), text(value)]));
}
/** An integer with a prefix of 7 bits. @see https://www.rfc-editor.org/rfc/rfc7541#section-5.1 */
function lengthOf(length: number): Buffer {
  if (length < 127) return Buffer.from([length]);
  const bytes = [127];
  let rest = length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

const LIST = '/flintlock.microvm.v1.MicroVMService/ListMicroVMs';
export const callHeaders = (path: string): readonly (readonly [string, string])[] => [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', path],
  [':authority', 'x'],
  ['content-type', 'application/grpc'],
  ['te', 'trailers'],
];
const START = Buffer.concat([PREFACE, frame(T.settings, 0, 0, Buffer.alloc(0))]);
const open = (stream: number, flags = END_HEADERS): Buffer =>
  frame(T.headers, flags, stream, headerBlock(callHeaders(LIST)));
const repeat = (count: number, one: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => one(i)));
const setting = (id: number, value: number): Buffer => {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt32BE(value >>> 0, 2);
  return bytes;
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

const junk = fc.uint8Array({ minLength: 1, maxLength: 2_000 }).map((bytes) => Buffer.from(bytes));
const someFrame = fc
  .tuple(
    fc.integer({ min: 0, max: 12 }),
    fc.nat(255),
    fc.constantFrom(0, 1, 2, 3, 2 ** 31 - 1),
    fc.uint8Array({ maxLength: 100 }),
  )
  .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload));

const fixed = (name: string, ...parts: readonly (Uint8Array | string)[]): Arbitrary<Raw> =>
  fc.constant({
    name,
    bytes: Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part))),
  });
const named = (name: string, bytes: Arbitrary<Buffer>): Arbitrary<Raw> => bytes.map((all) => ({ name, bytes: all }));

/** What is written to the gRPC port as it is. */
export const RAW_GRPC: Arbitrary<Raw> = fc.oneof(
  named('junk', junk),
  named(
    'junk after the preface',
    junk.map((bytes) => Buffer.concat([PREFACE, bytes])),
  ),
  named(
    'frames of any kind',
    fc.array(someFrame, { maxLength: 30 }).map((all) => Buffer.concat([START, ...all])),
  ),
  named(
    'a header block that is none',
    junk.map((bytes) => Buffer.concat([START, frame(T.headers, END_HEADERS, 1, bytes)])),
  ),
  named(
    'a body that is none',
    junk.map((bytes) => Buffer.concat([START, open(1), frame(T.data, END_STREAM, 1, bytes)])),
  ),
  fixed('half a preface', PREFACE.subarray(0, 10)),
  fixed('HTTP/1', 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'),
  fixed('TLS', Buffer.from('16030100c8010000c40303', 'hex')),
  fixed(
    'settings without end',
    START,
    repeat(500, () => frame(T.settings, 0, 0, Buffer.alloc(0))),
  ),
  fixed(
    'pings without end',
    START,
    repeat(500, () => frame(T.ping, 0, 0, Buffer.alloc(8))),
  ),
  fixed(
    'streams reset as soon as opened',
    START,
    repeat(200, (i) => Buffer.concat([open(2 * i + 1), frame(T.reset, 0, 2 * i + 1, u32(8))])),
  ),
  fixed(
    'more streams than allowed',
    START,
    repeat(300, (i) => open(2 * i + 1)),
  ),
  fixed(
    'headers that never end',
    START,
    open(1, 0),
    repeat(100, () => frame(T.more, 0, 1, Buffer.alloc(1_000, 'a'))),
  ),
  fixed(
    'headers that unpack to far more',
    START,
    frame(
      T.headers,
      END_HEADERS,
      1,
      Buffer.concat([
        Buffer.from([0x40]), // into the table, then from there again and again
        lengthOf(1),
        Buffer.from('x'),
        lengthOf(3_000),
        Buffer.alloc(3_000, 'y'),
        Buffer.alloc(12_000, 0xbe),
      ]),
    ),
  ),
  fixed(
    'a thousand headers',
    START,
    frame(
      T.headers,
      END_HEADERS,
      1,
      headerBlock([...callHeaders(LIST), ...Array.from({ length: 700 }, (_, i) => [`x-${i}`, 'y'] as const)]),
    ),
  ),
  fixed(
    'a window beyond its end',
    START,
    frame(T.window, 0, 0, u32(2 ** 31 - 1)),
    frame(T.window, 0, 0, u32(2 ** 31 - 1)),
  ),
  fixed(
    'no window for the answer',
    PREFACE,
    frame(T.settings, 0, 0, setting(4, 0)),
    open(1),
    frame(T.data, END_STREAM, 1, Buffer.alloc(5)),
  ),
  fixed(
    'settings out of range',
    PREFACE,
    frame(T.settings, 0, 0, Buffer.concat([setting(4, 2 ** 32 - 1), setting(5, 1), setting(3, 0)])),
  ),
  fixed('data of no stream', START, frame(T.data, 0, 5, Buffer.alloc(10))),
  fixed('a frame that is longer than it says', START, frame(T.ping, 0, 0, Buffer.alloc(100))),
  fixed('a frame that is shorter than it says', START, frame(T.data, 0, 1, Buffer.alloc(10), 16_000)),
  fixed('a frame beyond the limit', START, frame(T.data, 0, 1, Buffer.alloc(0), 2 ** 24 - 1)),
  fixed('a stream that hangs on itself', START, frame(T.priority, 0, 1, Buffer.concat([u32(1), Buffer.from([9])]))),
  fixed(
    'a promise from a client',
    START,
    frame(T.push, END_HEADERS, 1, Buffer.concat([u32(2), headerBlock(callHeaders(LIST))])),
  ),
  fixed('a goodbye, then more', START, frame(T.goaway, 0, 0, Buffer.alloc(8)), open(1)),
  fixed(
    'a message of 4 GiB announced',
    START,
    open(1),
    frame(T.data, 0, 1, Buffer.from([0, 255, 255, 255, 255, 1, 2])),
  ),
  fixed('a call that is left open', START, open(1), frame(T.data, 0, 1, Buffer.from([0, 0, 0]))),
);

const POST = (headers: string, body: string): string =>
  `POST /v1/namespaces/default/microvms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${headers}\r\n\r\n${body}`;
const sized = (body: string): string => POST(`Content-Length: ${Buffer.byteLength(body)}`, body);
const deep = (openText: string, closeText: string): string => `${openText.repeat(10_000)}1${closeText.repeat(10_000)}`;

/** What is written to the HTTP port as it is. */
export const RAW_HTTP: Arbitrary<Raw> = fc.oneof(
  named('junk', junk),
  named(
    'a line of junk',
    junk.map((bytes) => Buffer.concat([Buffer.from('GET /'), bytes, Buffer.from(' HTTP/1.1\r\nHost: x\r\n\r\n')])),
  ),
  named(
    'headers of junk',
    junk.map((bytes) =>
      Buffer.concat([Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nX: '), bytes, Buffer.from('\r\n\r\n')]),
    ),
  ),
  named(
    'a body of junk',
    junk.map((bytes) => Buffer.concat([Buffer.from(POST(`Content-Length: ${bytes.length}`, '')), bytes])),
  ),
  fixed('a body that is cut off', POST('Content-Length: 1000', '{"id":')),
  fixed('a body of 5 MiB', POST(`Content-Length: ${5 << 20}`, ''), Buffer.alloc(5 << 20, ' ')),
  fixed('arrays, 10,000 deep', sized(deep('[', ']'))),
  fixed('objects, 10,000 deep', sized(deep('{"kernel":', '}'))),
  fixed('labels, 10,000 deep', sized(`{"labels":${deep('{"a":', '}')}}`)),
  fixed('2,000 headers', POST('X: y\r\n'.repeat(2_000), '')),
  fixed('a header of 100 KiB', POST(`X: ${'y'.repeat(100_000)}`, '')),
  fixed('a path of 100 KiB', `GET /${'y'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`),
  fixed('two lengths', POST('Content-Length: 5\r\nContent-Length: 6', '{}   ')),
  fixed('a negative length', POST('Content-Length: -1', '{}')),
  fixed('a length of 2^64', POST('Content-Length: 18446744073709551616', '{}')),
  fixed(
    'a length and chunks',
    POST('Content-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\nGET / HTTP/1.1\r\n\r\n'),
  ),
  fixed('chunks of nonsense', POST('Transfer-Encoding: chunked', 'zz\r\n{}\r\n0\r\n\r\n')),
  fixed('a chunk that is too large', POST('Transfer-Encoding: chunked', 'ffffffffffffffff\r\n')),
  fixed('a chunk at a time, never the last', POST('Transfer-Encoding: chunked', '1\r\n{\r\n'.repeat(100))),
  fixed('100 requests at once', 'GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100)),
  fixed(
    'an upgrade to HTTP/2',
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
  ),
  fixed(
    'an upgrade to a web socket',
    'GET /v1/watch HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n',
  ),
  fixed('a tunnel', 'CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n'),
  fixed('HTTP/2', START, open(1)),
  fixed('a method of its own', 'FLINT /v1/info HTTP/1.1\r\nHost: x\r\n\r\n'),
  fixed('no host', 'GET /v1/info HTTP/1.1\r\n\r\n'),
  fixed('HTTP/0.9', 'GET /v1/info\r\n'),
  fixed('waits to be told to go on', POST('Content-Length: 2\r\nExpect: 100-continue', '')),
  fixed('waits for something else', POST('Content-Length: 2\r\nExpect: miracles', '{}')),
  fixed('an event stream that is not read', 'GET /v1/watch HTTP/1.1\r\nHost: x\r\nLast-Event-ID: x\r\n\r\n'),
  fixed(
    'another site',
    'POST /v1/audit HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n',
  ),
);
