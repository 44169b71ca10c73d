import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { refuseHttp2 } from './refuse-http2.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = Buffer.from('000006040000000000' + '000400010000', 'hex');
const HEADERS = Buffer.from('000001010500000007' + '82', 'hex'); // of stream 7

/** What a client gets that sends these pieces: type, stream and payload of each frame. */
async function refused(
  pieces: readonly Uint8Array[],
  limitMs: number,
  message = 'Not let in',
): Promise<[number, number, string][]> {
  const server = createServer((socket) => refuseHttp2(socket, message, limitMs)).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const socket: Socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  for (const piece of pieces) await new Promise((done) => socket.write(piece, done));
  let bytes = Buffer.concat(await socket.toArray());
  const frames: [number, number, string][] = [];
  while (bytes.length > 0) {
    const length = 9 + bytes.readUIntBE(0, 3);
    frames.push([bytes[3] ?? -1, bytes.readUInt32BE(5), bytes.toString('latin1', 9, length)]);
    bytes = bytes.subarray(length);
  }
  return frames;
}

test.each([
  ['at once', [Buffer.concat([PREFACE, SETTINGS, HEADERS])]],
  ['byte by byte', [...Buffer.concat([PREFACE, SETTINGS, HEADERS])].map((byte) => Buffer.of(byte))],
])('the first call is answered with the reason, sent %s', async (_, pieces) => {
  const [settings, answer, goAway, ...more] = await refused(pieces, 60_000, 'Not let in: é');
  expect(settings).toEqual([4, 0, '']);
  expect(answer?.slice(0, 2)).toEqual([1, 7]);
  expect(answer?.[2]).toMatch(/grpc-status.14.*Not%20let%20in%3A%20%C3%A9/s);
  expect(goAway).toEqual([7, 0, expect.stringContaining('\0\0\0\x07\0\0\0\x0cNot let in: ')]);
  expect(more).toEqual([]);
});

test('who calls nothing gets the GOAWAY alone', async () => {
  expect(await refused([PREFACE, SETTINGS], 20)).toEqual([
    [4, 0, ''],
    [7, 0, '\0\0\0\0\0\0\0\x0cNot let in'],
  ]);
});

test('a long reason has its whole length', async () => {
  const long = 'x'.repeat(700);
  const [, answer] = await refused([PREFACE, SETTINGS, HEADERS], 60_000, long);
  expect(answer?.[2]).toContain(
    `grpc-message\x7f${String.fromCharCode(((700 - 127) & 127) | 128, (700 - 127) >> 7)}${long}`,
  );
});
