import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, test } from 'vitest';
import { scratchDirectory, startApi, type TestApi, tokensOf } from '../../../test/support/api.ts';
import { SAMPLE_UID } from '../../../test/support/fake-services.ts';
import { HostService } from '../../gen/flintlock/microvm/v1/host_pb.ts';

const NAMES = { httpNames: ['web1', 'Host.Example.'] };

describe.each(['GET', 'POST', 'WebSocket'])('of a %s', (kind) => {
  test.for([
    '127.0.0.1:PORT',
    '127.0.0.1',
    '192.0.2.7:PORT',
    '[::1]:PORT',
    '[2001:db8::7]',
    'localhost:PORT',
    'LocalHost.:9000',
    'web1:PORT',
    'host.example',
    'HOST.example.:80',
  ])('%s is one of our names', async (host) => {
    const api = await startApi({}, NAMES);
    expect((await ask(api, host, kind)).status).toBe(kind === 'WebSocket' ? 101 : 200);
  });

  test.for([
    'evil.example:PORT',
    'localhost.evil.example',
    'web1.evil.example:PORT',
    '127.0.0.1.evil.example',
    'sub.localhost.evil',
    'xn--lcalhost-54a',
    '127.0.0.1@evil.example',
    '[::1].evil.example',
    ':PORT',
    'evil.example:127.0.0.1',
  ])('%s is none, though the page be of that origin', async (host) => {
    const api = await startApi({}, NAMES);
    const answer = await ask(api, host, kind);
    expect(answer.status).toBe(403);
    expect(answer.body).toMatchObject({ code: 7, message: expect.stringContaining('give flintlockd --http-name ') });
  });
});

test('an endpoint that is a name may be called by it', async () => {
  const api = await startApi();
  const http = await api.api.listenHttp({ kind: 'tcp', host: 'localhost', port: 0 });
  expect((await ask({ ...api, http }, 'localhost', 'GET')).status).toBe(200);
  expect((await ask(api, 'web1', 'GET')).status).toBe(403);
});

test('who tells no name is no browser', async () => {
  const api = await startApi();
  const socket = connect(portOf(api), '127.0.0.1');
  socket.end('GET /v1/info HTTP/1.0\r\n\r\n');
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 /);
});

test('with tokens, and over a unix socket, any name will do', async () => {
  const api = await startApi({}, { tokens: tokensOf({ name: 'a', secret: 'a'.repeat(16) }) });
  expect((await ask(api, 'proxy.example', 'GET', { authorization: `Bearer ${'a'.repeat(16)}` })).status).toBe(200);
  expect((await ask(api, 'evil.example', 'GET')).status).toBe(401);

  const open = await startApi({}, NAMES);
  const path = join(await scratchDirectory(), 'http.sock');
  await open.api.listenHttp({ kind: 'unix', path });
  const asked = request({ socketPath: path, path: '/v1/info', agent: false, headers: { host: 'any.example' } }).end();
  const [answer] = await once(asked, 'response');
  expect(answer.statusCode).toBe(200);
  answer.resume();
});

test('machines that watch the daemon may call it anything', async () => {
  const api = await startApi();
  expect((await ask(api, 'balancer.example', 'GET', {}, '/healthz')).status).toBe(200);
});

test('gRPC is asked by any name: no browser speaks it', async () => {
  const api = await startApi({}, NAMES);
  const baseUrl = `http://any.example:${api.grpc.kind === 'tcp' ? api.grpc.port : 0}`;
  const nodeOptions = { createConnection: () => connect(portOf({ http: api.grpc }), '127.0.0.1') };
  const client = createClient(HostService, createGrpcTransport({ baseUrl, nodeOptions }));
  expect(await client.serverInfo({})).toBeDefined();
});

const portOf = ({ http }: Pick<TestApi, 'http'>): number => (http.kind === 'tcp' ? http.port : 0);

/** As a page does that was loaded from there: `Origin` and `Host` go together. */
async function ask(
  api: TestApi,
  host: string,
  kind: string,
  headers: Record<string, string> = {},
  path = kind === 'WebSocket' ? `/v1/microvms/${SAMPLE_UID}/exec` : kind === 'GET' ? '/v1/info' : '/v1/audit',
): Promise<{ status: number; body: unknown }> {
  const named = host.replace('PORT', String(portOf(api)));
  const upgrade = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'x'.repeat(22).concat('=='),
  };
  const asked = request({
    host: '127.0.0.1',
    port: portOf(api),
    path,
    method: kind === 'POST' ? 'POST' : 'GET',
    agent: false,
    headers: { host: named, origin: `http://${named}`, ...(kind === 'WebSocket' && upgrade), ...headers },
  }).end();
  const upgraded = once(asked, 'upgrade').then(([, socket]) => {
    socket.destroy();
    return { status: 101, body: undefined };
  });
  const answered = once(asked, 'response').then(async ([answer]) => {
    const body = await text(answer);
    return { status: answer.statusCode, body: /json/.test(answer.headers['content-type']) ? JSON.parse(body) : body };
  });
  return Promise.race([upgraded, answered]);
}
