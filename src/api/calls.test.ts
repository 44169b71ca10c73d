import { once } from 'node:events';
import { connect } from 'node:http2';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { startApi, tokensOf } from '../../test/support/api.ts';
import { SAMPLE_UID, sampleVm } from '../../test/support/fake-services.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import { MicroVMService } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { EndedCall } from './call-meter.ts';
import { CurrentCaller } from './current-caller.ts';
import { type Endpoint, formatEndpoint } from './endpoint.ts';
import { requestIdOf, withRequest } from './request-id.ts';

const MADE = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const SECRET = 'kettle-drum-orchard';
const services = {
  get: async ({ uid }: { readonly uid?: string }) => {
    if (uid === SAMPLE_UID) return sampleVm();
    if (uid === 'bug') throw new TypeError('a bug');
    throw new Fault('not_found', 'none');
  },
  async *watch(_request: object, signal: AbortSignal) {
    yield { type: 'BOOKMARK' as const, cursor: 'e.1', at: 0 };
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  },
};

async function counted(options: Parameters<typeof startApi>[1] = {}) {
  const ended: EndedCall[] = [];
  const api = await startApi(services, { calls: (call) => void ended.push(call), ...options });
  const next = async (call: () => Promise<unknown>): Promise<string> => {
    const before = ended.length;
    await call();
    await vi.waitFor(() => expect(ended.length).toBe(before + 1));
    const { surface, method, code, ms } = ended.at(-1) ?? { surface: '', method: '', code: '', ms: -1 };
    expect(ms).toBeGreaterThanOrEqual(0);
    return `${surface} ${method} ${code}`;
  };
  return { api, next };
}

/** A call that no client of ours would make. @returns all that was answered, headers and trailers too */
async function post(
  endpoint: Endpoint,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array = Buffer.alloc(0),
): Promise<string> {
  const session = connect(`http://${formatEndpoint(endpoint)}`);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
  let answer = '';
  for (const event of ['response', 'trailers', 'data'])
    stream.on(event, (part: unknown) => {
      answer += part instanceof Uint8Array ? Buffer.from(part).toString() : decodeURIComponent(JSON.stringify(part));
    });
  stream.end(body);
  await once(stream, 'close');
  expect(answer).not.toBe('');
  return answer;
}

describe('a call is counted once, when it has ended, in words of ours', () => {
  test('over HTTP', async () => {
    const { api, next } = await counted();
    expect(await next(() => api.fetch(`/v1/microvms/${SAMPLE_UID}`))).toBe('http GET /v1/microvms/:uid 200');
    expect(await next(() => api.fetch('/v1/microvms/hostile"name'))).toBe('http GET /v1/microvms/:uid 404');
    expect(await next(() => api.fetch('/v1/microvms/bug'))).toBe('http GET /v1/microvms/:uid 500');
    expect(await next(() => api.fetch('/healthz'))).toBe('http GET /healthz 200');
    expect(await next(() => api.fetch('/hostile"name'))).toBe('http unknown 404');
    expect(await next(() => api.fetch('/v1/microvms', { method: 'PROPFIND' }))).toBe('http unknown 404');
    expect(await next(() => api.fetch('/%'))).toBe('http unknown 400');
    const end = new AbortController();
    const watched = next(async () => {
      const { body } = await api.fetch('/v1/watch', { signal: end.signal });
      await body?.getReader().read();
      end.abort();
    });
    expect(await watched).toBe('http GET /v1/watch 499');
  });

  const METHOD = 'flintlock.microvm.v1.MicroVMService';
  test.each([
    ['gRPC', undefined],
    ['gRPC-web', createGrpcWebTransport],
    ['Connect', createConnectTransport],
  ])('over %s', async (_name, transport) => {
    const { api, next } = await counted();
    const baseUrl = `http://${formatEndpoint(api.grpc)}`;
    const client = transport
      ? createClient(MicroVMService, transport({ baseUrl, httpVersion: '2' }))
      : api.client(MicroVMService);
    const get = (uid: string) => next(() => client.getMicroVM({ uid }).catch(() => undefined));
    expect(await get(SAMPLE_UID)).toBe(`grpc ${METHOD}/GetMicroVM OK`);
    expect(await get('none')).toBe(`grpc ${METHOD}/GetMicroVM NOT_FOUND`);
    expect(await get('bug')).toBe(`grpc ${METHOD}/GetMicroVM INTERNAL`);
    const watched = next(async () => {
      const end = new AbortController();
      const events = client.watchMicroVMs({}, { signal: end.signal })[Symbol.asyncIterator]();
      await events.next();
      end.abort();
      await events.next().catch(() => undefined);
    });
    expect(await watched).toBe(`grpc ${METHOD}/WatchMicroVMs CANCELLED`);
  });

  test('without a token, and of what there is not', async () => {
    const { api, next } = await counted({ tokens: tokensOf({ name: 'ci', secret: SECRET }) });
    const client = api.client(MicroVMService);
    const get = () => client.getMicroVM({ uid: SAMPLE_UID }).catch(() => undefined);
    expect(await next(get)).toBe(`grpc ${METHOD}/GetMicroVM UNAUTHENTICATED`);
    expect(await next(() => api.fetch('/v1/microvms'))).toBe('http GET /v1/microvms 401');
    const strange = () => post(api.grpc, '/hostile.Name/Get', { 'content-type': 'application/grpc' });
    expect(await next(strange)).toBe('grpc unknown UNAUTHENTICATED');
  });
});

describe('a request has an id', () => {
  test.each(['a', 'req-1:2/3+4=5.6_7', 'x'.repeat(128)])('its own: %j', (id) => expect(requestIdOf(id)).toBe(id));
  test.each([undefined, '', ' ', 'a b', 'a\nb', '"', '-a', 'x'.repeat(129), 'é', ['a', 'b']])(
    'a new one for %j',
    (id) => expect(requestIdOf(id)).toMatch(MADE),
  );

  test('that the answer has too, however it went', async () => {
    const { api } = await counted({ tokens: tokensOf({ name: 'ci', secret: SECRET }) });
    const authorization = `Bearer ${SECRET}`;
    for (const [path, headers, status] of [
      [`/v1/microvms/${SAMPLE_UID}`, { authorization, 'x-request-id': 'mine' }, 200],
      [`/v1/microvms/none`, { authorization, 'x-request-id': 'mine' }, 404],
      [`/v1/microvms/${SAMPLE_UID}`, { 'x-request-id': 'mine' }, 401],
      ['/nowhere', { 'x-request-id': 'mine' }, 404],
    ] as const) {
      const answer = await api.fetch(path, { headers });
      expect([path, answer.status, answer.headers.get('x-request-id')]).toEqual([path, status, 'mine']);
    }
    expect((await api.fetch('/healthz')).headers.get('x-request-id')).toMatch(MADE);

    const client = api.client(MicroVMService);
    const seen: (string | null)[] = [];
    const options = {
      headers: { authorization, 'x-request-id': 'mine' },
      onHeader: (headers: Headers) => void seen.push(headers.get('x-request-id')),
    };
    await client.getMicroVM({ uid: SAMPLE_UID }, options);
    expect(seen).toEqual(['mine']);
    const refused = await client.getMicroVM({ uid: 'none' }, options).catch((error: unknown) => error);
    expect((refused as { metadata: Headers }).metadata.get('x-request-id')).toBe('mine');
  });

  test('that every line of it has, on both surfaces', async () => {
    const log = memoryLog();
    const told = await startApi(services, { log });
    await told.fetch('/v1/microvms/bug', { headers: { 'x-request-id': 'by-http' } });
    await told
      .client(MicroVMService)
      .getMicroVM({ uid: 'bug' }, { headers: { 'x-request-id': 'by-grpc' } })
      .catch(() => undefined);
    for (const request of ['by-http', 'by-grpc']) {
      const lines = log.lines.filter(({ fields }) => (fields as { request?: string }).request === request);
      expect(lines.map(({ level, message }) => [level, message])).toEqual([
        ['debug', 'get microVM'],
        ['error', 'a call failed by a bug of the daemon'],
      ]);
    }
  });

  test('that what goes on by itself has not', async () => {
    const caller = new CurrentCaller();
    const plain = memoryLog();
    const log = withRequest(plain, caller.get);
    const who = { who: 'a', from: 'b', access: 'read-only', request: 'r' } as const;
    await caller.run(who, async () => {
      await Promise.resolve();
      log.warn('of the call', { uid: 'u' });
      await caller.outside(async () => {
        await Promise.resolve();
        log.warn('by itself', { uid: 'u' });
      });
      log.warn('again');
    });
    expect(plain.lines.map(({ message, fields }) => [message, fields])).toEqual([
      ['of the call', { request: 'r', uid: 'u' }],
      ['by itself', { uid: 'u' }],
      ['again', { request: 'r' }],
    ]);
  });
});

const BROKEN = [
  `{"metadata": {"user-data": "${SECRET}", }}`,
  SECRET,
  `{"metadata": {"user-data": ${SECRET}}}`,
  `{"metadata": {"user-data": "${SECRET}`,
  `{"metadata": {"user-data": "${SECRET}" "b"}}`,
  `{"metadata": {"user-data": "x\n${SECRET}"}}`,
];

test.each(BROKEN)('a body that is no JSON is not quoted: %j', async (body) => {
  const api = await startApi(services);
  const headers = { 'content-type': 'application/json' };
  const answer = await api.fetch('/v1/namespaces/default/microvms', { method: 'POST', headers, body });
  expect(answer.status).toBe(400);
  expect(await answer.text()).not.toContain('kettle');
  expect(JSON.stringify(api.log.lines)).not.toContain('kettle');
});

test.each(BROKEN)('nor is a message of gRPC or Connect in JSON: %j', async (body) => {
  const api = await startApi(services);
  const path = '/flintlock.microvm.v1.MicroVMService/CreateMicroVM';
  const size = Buffer.alloc(5);
  size.writeUInt32BE(Buffer.byteLength(body), 1);
  for (const [type, bytes] of [
    ['application/json', Buffer.from(body)],
    ['application/grpc+json', Buffer.concat([size, Buffer.from(body)])],
  ] as const)
    expect(await post(api.grpc, path, { 'content-type': type }, bytes)).not.toContain('kettle');
  expect(JSON.stringify(api.log.lines)).not.toContain('kettle');
});
