import { type ClientHttp2Session, connect, constants, type Settings } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { Code } from '@connectrpc/connect';
import { expect, onTestFinished, test } from 'vitest';
import { type ApiProcess, startApiProcess } from '../../../test/support/api-process.ts';
import { poll } from '../../../test/support/daemon.ts';
import type { FlowLimits } from './limits.ts';

const MIB = 1 << 20;
const NATIVE = '/flintlock.microvm.v1.MicroVMService';
const TODAY = '/microvm.services.api.v1alpha1.MicroVM';
/** Beyond it the API's process ends: what it holds at most, and as much that is not collected yet. */
const HEAP_MB = 160;
const RESOURCE_EXHAUSTED = String(Code.ResourceExhausted);
/** Which gRPC libraries tell as RESOURCE_EXHAUSTED. */
const CALM = `RST ${constants.NGHTTP2_ENHANCE_YOUR_CALM}`;

async function apiOver(vms: { count: number; bytes: number }, limits: Partial<FlowLimits> = {}): Promise<ApiProcess> {
  const api = await startApiProcess(vms, HEAP_MB, limits);
  onTestFinished(() => api.end());
  return api;
}

function session(api: ApiProcess, settings: Settings = {}): ClientHttp2Session {
  const made = connect(`http://127.0.0.1:${api.grpc}`, { settings });
  made.on('error', () => undefined);
  onTestFinished(() => made.destroy());
  return made;
}

const envelope = (message: Uint8Array = new Uint8Array()): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

const headersOf = (path: string) => ({
  ...{ ':method': 'POST', ':path': path },
  ...{ 'content-type': 'application/grpc', te: 'trailers' },
});

interface Reader {
  /** The status of a call that has ended: of gRPC, or `RST code`. */
  readonly ended: Promise<string>;
}

/** A call whose answer nobody reads. */
function unread(client: ClientHttp2Session, path: string, body = envelope()): Reader {
  const stream = client.request(headersOf(path));
  stream.pause();
  stream.on('error', () => undefined);
  const { promise, resolve } = Promise.withResolvers<string>();
  stream.on('trailers', (trailers) => resolve(String(trailers['grpc-status'])));
  stream.on('response', (headers) => {
    if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
  });
  stream.on('close', () => resolve(`RST ${stream.rstCode}`));
  stream.end(body);
  return { ended: promise };
}

/** One that reads gets its answer meanwhile. */
async function answers(api: ApiProcess): Promise<void> {
  const info = await fetch(`http://127.0.0.1:${api.http}/v1/info`);
  expect([info.status, api.ended()]).toEqual([200, undefined]);
  const page = await fetch(`http://127.0.0.1:${api.http}/v1/microvms?pageSize=1`);
  expect(page.status).toBe(200);
  await page.arrayBuffer();
}

/** What it holds once nothing more happens. */
async function held(api: ApiProcess): Promise<number> {
  let last = 0;
  return await poll('its memory stands still', 60_000, async () => {
    const { heapUsed, external } = await api.memory();
    const now = heapUsed + external;
    const isStill = Math.abs(now - last) < MIB / 2;
    last = now;
    return isStill ? { is: now } : { not: `${now >> 20} MiB` };
  });
}

/** Everything that answers long, on every surface, and nobody reads it. */
function unreadAll(api: ApiProcess, connections: number, times: number): Reader[] {
  const readers: Reader[] = [];
  for (let connection = 0; connection < connections; connection++) {
    const client = session(api);
    for (let i = 0; i < times; i++)
      for (const method of [
        ...[`${NATIVE}/ListMicroVMsStream`, `${TODAY}/ListMicroVMsStream`],
        ...[`${NATIVE}/ListMicroVMs`, `${NATIVE}/WatchMicroVMs`],
      ])
        readers.push(unread(client, method));
    for (const path of ['/v1/watch', '/v1/microvms'])
      unreadSocket(api.http, `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  }
  return readers;
}

function unreadSocket(port: number, request: string): Socket {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  socket.pause();
  socket.write(request);
  return socket;
}

test('readers that stall over long records take a bounded memory, whatever they asked for', async () => {
  const api = await apiOver({ count: 100, bytes: MIB });
  const before = await held(api);
  unreadAll(api, 3, 15);
  const taken = (await held(api)) - before;
  expect(taken / MIB).toBeLessThan(110);
  await answers(api);
});

test('thousands of streams on two connections are refused above a bound, and take little below it', async () => {
  const api = await apiOver({ count: 100, bytes: 2_000 });
  const before = await held(api);
  const readers = [session(api), session(api)].flatMap((client) =>
    Array.from({ length: 1_000 }, () => unread(client, `${TODAY}/ListMicroVMsStream`)),
  );
  const taken = (await held(api)) - before;
  expect(taken / MIB).toBeLessThan(110);
  const statuses = await Promise.all(readers.map(({ ended }) => Promise.race([ended, 'open' as const])));
  expect(new Set(statuses)).toEqual(new Set(['open', RESOURCE_EXHAUSTED]));
  await answers(api);
});

test('who takes nothing is let go with ENHANCE_YOUR_CALM, and the log says who and why', async () => {
  const api = await apiOver({ count: 40, bytes: MIB }, { stalledMs: 2_000, pressedMs: 500 });
  const readers = unreadAll(api, 2, 10);
  const statuses = new Set(await Promise.all(readers.map(({ ended }) => ended)));
  // Those that found no room for too long were told so; of the others the stream was reset.
  expect([...statuses].every((status) => status === CALM || status === RESOURCE_EXHAUSTED)).toBe(true);
  expect(statuses).toContain(CALM);
  const said = (await api.log()).filter((line) => line.startsWith('a caller that stood still was let go'));
  expect(said[0]).toMatch(/"from":"127\.0\.0\.1".*(took nothing of its answer|others wait)/);
  await answers(api);
});

test('who gives no window at all gets nothing and holds little', async () => {
  const api = await apiOver({ count: 40, bytes: MIB }, { stalledMs: 2_000 });
  const client = session(api, { initialWindowSize: 0 });
  const info = '/flintlock.microvm.v1.HostService/ServerInfo';
  const readers = [`${NATIVE}/ListMicroVMs`, `${NATIVE}/ListMicroVMsStream`, info].map((path) => unread(client, path));
  expect(await Promise.all(readers.map(({ ended }) => ended))).toEqual([CALM, CALM, CALM]);
  await answers(api);
});

test('requests that never get whole hold no more than their share', async () => {
  const api = await apiOver({ count: 1, bytes: 0 });
  const before = await held(api);
  for (let connection = 0; connection < 2; connection++) {
    const client = session(api);
    for (let i = 0; i < 40; i++) {
      // Each says that it is 3 MiB, and sends most of it.
      const head = Buffer.alloc(5);
      head.writeUInt32BE(3 * MIB, 1);
      const stream = client.request(headersOf(`${NATIVE}/CreateMicroVM`));
      stream.on('error', () => undefined);
      stream.write(Buffer.concat([head, Buffer.alloc(2 * MIB)]));
    }
    for (let i = 0; i < 20; i++) {
      const socket = unreadSocket(
        api.http,
        `POST /v1/namespaces/default/microvms HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${3 * MIB}\r\n\r\n`,
      );
      socket.write(Buffer.alloc(2 * MIB, 0x20));
    }
  }
  const taken = (await held(api)) - before;
  expect(taken / MIB).toBeLessThan(110);
  await answers(api);
});
