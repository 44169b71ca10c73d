import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Code, ConnectError } from '@connectrpc/connect';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { scratchDirectory, startApi, type TestApi } from '../../test/support/api.ts';
import { sampleVm, untilAborted } from '../../test/support/fake-services.ts';
import { MicroVMService } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { Health } from '../gen/health/v1/health_pb.ts';
import type { Services } from '../service/services.ts';
import { type Endpoint, formatEndpoint } from './endpoint.ts';

/** One event, then nothing until the end. */
const quiet: Partial<Services> = {
  async *watch(_, signal) {
    yield { type: 'ADDED', vm: sampleVm(), cursor: 'e.1', at: 0 };
    await untilAborted(signal);
  },
  async *readConsole(_, signal) {
    yield Buffer.from('booting');
    await untilAborted(signal);
  },
};

const portOf = (endpoint: Endpoint): number => (endpoint.kind === 'tcp' ? endpoint.port : 0);

function rawSocket(endpoint: Endpoint): Socket {
  const socket = connect(portOf(endpoint), '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function expectAlive({ client, fetch }: TestApi): Promise<void> {
  expect(await client(Health).check({})).toMatchObject({ status: 1 });
  expect((await fetch('/healthz')).status).toBe(200);
  expect((await fetch('/healthz', { method: 'HEAD' })).status).toBe(200);
  expect((await fetch('/readyz', { method: 'HEAD' })).status).toBe((await fetch('/readyz')).status);
}

test('stop ends open streams with UNAVAILABLE, within time', async () => {
  const { api, client, fetch, grpc, http } = await startApi(quiet);
  const watch = client(MicroVMService).watchMicroVMs({})[Symbol.asyncIterator]();
  await watch.next();
  const events = (await fetch('/v1/watch')).body?.getReader();
  const console = (await fetch('/v1/microvms/u/console?follow')).body?.getReader();
  expect(Buffer.from((await console?.read())?.value ?? []).toString()).toBe('booting');
  const idle = [rawSocket(grpc), rawSocket(http)];
  await Promise.all(idle.map((socket) => once(socket, 'connect')));

  const began = performance.now();
  const stopped = api.stop();
  const told = await watch.next().then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(told).toBeInstanceOf(ConnectError);
  expect((told as ConnectError).code).toBe(Code.Unavailable);
  let text = '';
  for (let piece = await events?.read(); piece && !piece.done; piece = await events?.read())
    text += Buffer.from(piece.value).toString();
  expect(text).toMatch(/event: ADDED[\s\S]*event: error\ndata: \{"code":14,/);
  await expect(console?.read()).rejects.toThrow();
  await stopped;
  expect(performance.now() - began).toBeLessThan(2_500);
  for (const endpoint of [grpc, http]) {
    const refused = await new Promise((resolve) => rawSocket(endpoint).once('error', resolve));
    expect(refused).toMatchObject({ code: 'ECONNREFUSED' });
  }
});

test('stop waits for a call that ends by itself, and cuts one that obeys nothing', async () => {
  const release = Promise.withResolvers<void>();
  const { api, client } = await startApi({
    get: async () => {
      await release.promise;
      return sampleVm();
    },
    list: () => new Promise(() => {}),
  });
  const ends = client(MicroVMService).getMicroVM({ id: 'web' });
  const hangs = client(MicroVMService)
    .listMicroVMs({})
    .catch((error: unknown) => error);
  await client(Health).check({});
  const began = performance.now();
  const stopped = api.stop();
  release.resolve();
  expect((await ends).microvm?.version).toBe(3);
  expect(await hangs).toBeInstanceOf(ConnectError);
  await stopped;
  expect(performance.now() - began).toBeLessThan(2_500);
});

test('stop without anything open is at once, and twice is once', async () => {
  const { api, client } = await startApi();
  await client(Health).check({});
  const began = performance.now();
  await api.stop();
  await api.stop();
  expect(performance.now() - began).toBeLessThan(250);
});

test('several listeners of each kind serve the same', async () => {
  const { api } = await startApi();
  const directory = await scratchDirectory();
  await api.listenGrpc({ kind: 'unix', path: join(directory, 'grpc.sock') });
  await api.listenHttp({ kind: 'unix', path: join(directory, 'http.sock') });
  const second = await api.listenHttp({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  expect((await fetch(`http://${formatEndpoint(second)}/healthz`)).status).toBe(200);
  await expect(api.listenHttp(second)).rejects.toMatchObject({ kind: 'refused' });
});

test('bytes that are no protocol do not end the daemon', async () => {
  const api = await startApi();
  const h2 = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const samples = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 300 }), { numRuns: 40, seed: 7 });
  const bytes = [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from('GET /%zz HTTP/1.1\r\nhost: localhost\r\n\r\n'),
    Buffer.from('POST /v1/audit HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n'),
    Buffer.from('POST /v1/audit HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'),
    Buffer.from('CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n'),
    h2,
    ...samples.map((some) => Buffer.from(some)),
    ...samples.map((some) => Buffer.concat([h2, some])),
  ];
  for (const endpoint of [api.grpc, api.http]) {
    const sockets = bytes.map((some) => {
      const socket = rawSocket(endpoint);
      socket.resume().end(some);
      return once(socket, 'close');
    });
    await Promise.all(sockets);
  }
  await expectAlive(api);
});

test('a request that HTTP/2 allows and gRPC does not is refused, and no more', async () => {
  const api = await startApi();
  const session = connectHttp2(`http://${formatEndpoint(api.grpc)}`);
  session.on('error', () => {});
  onTestFinished(() => session.destroy());
  const path = '/flintlock.microvm.v1.MicroVMService/GetMicroVM';
  const headers = [
    { ':method': 'GET', ':path': path },
    { ':method': 'POST', ':path': path },
    { ':method': 'POST', ':path': path, ':authority': 'a b\\c', 'content-type': 'application/grpc' },
    { ':method': 'POST', ':path': path, ':authority': '', 'content-type': 'application/grpc' },
    { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', 'grpc-timeout': 'never' },
    { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', 'grpc-encoding': 'zip' },
    { ':method': 'POST', ':path': '*', 'content-type': 'application/grpc' },
  ];
  for (const one of headers) {
    const stream = session.request(one);
    stream.on('error', () => {});
    stream.resume();
    if (!stream.writableEnded) stream.end(Buffer.from([0, 0, 0, 0, 9, 1]));
    await new Promise((resolve) => stream.once('close', resolve));
  }
  await expectAlive(api);
});

test('a caller who resets the connection in the middle of an answer', { timeout: 60_000 }, async () => {
  const api = await startApi({
    list: async () => ({ vms: Array.from({ length: 2_000 }, () => sampleVm()), nextPageToken: '' }),
  });
  for (let i = 0; i < 5; i++) {
    const socket = rawSocket(api.http);
    socket.write('GET /v1/microvms HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await once(socket, 'data');
    socket.resetAndDestroy();
    const session = connectHttp2(`http://${formatEndpoint(api.grpc)}`);
    session.on('error', () => {});
    const stream = session.request({
      ':method': 'POST',
      ':path': '/flintlock.microvm.v1.MicroVMService/ListMicroVMs',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.end(Buffer.alloc(5));
    await once(stream, 'data');
    session.destroy();
  }
  await expectAlive(api);
});

test('JSON that is hostile is refused on every protocol that takes it', async () => {
  const api = await startApi();
  const path = '/flintlock.microvm.v1.MicroVMService/CreateMicroVM';
  const bodies = [
    `{"microvm":{"${'k'.repeat(3 << 20)}":1}}`,
    `{"microvm":${'{"kernel":'.repeat(10_000)}1${'}'.repeat(10_000)}}`,
    `{"microvm":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
    '{"metadata":{"a":{"@type":"type.googleapis.com/google.protobuf.Value","value":1}}}',
    '{"microvm":{"vcpus":1}}',
  ];
  for (const [type, body] of bodies.flatMap((one) =>
    ['application/grpc+json', 'application/json'].map((t) => [t, one]),
  )) {
    const bytes = Buffer.from(body ?? '');
    const envelope = Buffer.alloc(type === 'application/json' ? 0 : 5);
    if (envelope.length > 0) envelope.writeUInt32BE(bytes.length, 1);
    const session = connectHttp2(`http://${formatEndpoint(api.grpc)}`);
    onTestFinished(() => session.destroy());
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': type });
    let status: unknown;
    stream.on('response', (headers) => {
      status = headers['grpc-status'] ?? headers[':status'];
    });
    stream.resume().end(Buffer.concat([envelope, bytes]));
    await once(stream, 'close');
    session.destroy();
    expect([type, Number(status)]).toEqual([type, type === 'application/json' ? 400 : Code.InvalidArgument]);
  }
  await expectAlive(api);
});
