import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { startApi, type TestApi, tokensOf } from '../../test/support/api.ts';
import { Authority, type Pair } from '../../test/support/certificates.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { fakeServices, SAMPLE_UID, sampleVm, untilAborted } from '../../test/support/fake-services.ts';
import { WatchMicroVMsRequestSchema } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { Services } from '../service/services.ts';
import type { Endpoint } from './endpoint.ts';
import type { TlsFiles, TlsSource } from './tls.ts';

const exec = promisify(execFile);
const HEALTH = '/grpc.health.v1.Health/Check';
const LIST = '/flintlock.microvm.v1.MicroVMService/ListMicroVMs';
const WATCH = '/flintlock.microvm.v1.MicroVMService/WatchMicroVMs';
const SECRET = 'kettle-drum-orchard';

const portOf = (endpoint: Endpoint): number => (endpoint.kind === 'tcp' ? endpoint.port : 0);
const same = (bytes: Buffer): Buffer => bytes;

/** What serves TLS, and can be changed. */
class Changing implements TlsSource {
  #files: TlsFiles;
  readonly #listeners = new Set<() => void>();

  constructor(files: TlsFiles) {
    this.#files = files;
  }
  current(): TlsFiles {
    return this.#files;
  }
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
  set(files: TlsFiles): void {
    this.#files = files;
    for (const listener of this.#listeners) listener();
  }
}

/** As controller-pkg and the others connect: by the reference implementation. */
function grpcClient(
  { grpc: endpoint }: TestApi,
  credentials: grpc.ChannelCredentials,
  options: grpc.ClientOptions = {},
): grpc.Client {
  const client = new grpc.Client(`localhost:${portOf(endpoint)}`, credentials, options);
  onTestFinished(() => client.close());
  return client;
}

const secure = (ca: Pair, own?: Pair): grpc.ChannelCredentials =>
  grpc.credentials.createSsl(ca.cert, own?.key, own?.cert);

function call(client: grpc.Client, path = LIST, authorization?: string): Promise<Buffer> {
  const metadata = new grpc.Metadata();
  if (authorization !== undefined) metadata.set('authorization', authorization);
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + 50_000 };
    client.makeUnaryRequest(path, same, same, Buffer.alloc(0), metadata, options, (error, answer) =>
      error ? reject(error) : resolve(answer ?? Buffer.alloc(0)),
    );
  });
}

const curl = async (...args: string[]): Promise<{ out: string; err: string; code: number }> => {
  const all = ['--silent', '--show-error', '--max-time', '10', ...args];
  return exec('curl', all).then(
    ({ stdout, stderr }) => ({ out: stdout, err: stderr, code: 0 }),
    ({ stdout, stderr, code }) => ({ out: String(stdout), err: String(stderr), code: Number(code) }),
  );
};

const warnings = ({ log }: TestApi): string[] =>
  log.lines
    .filter(({ level }) => level === 'warn')
    .map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`);

/** One event, then nothing until the end; `ended` counts. */
function quietWatch() {
  const seen = { started: 0, ended: 0 };
  const watch: Services['watch'] = async function* (_, signal) {
    seen.started++;
    try {
      yield { type: 'ADDED', vm: sampleVm(), cursor: 'e.1', at: 0 };
      await untilAborted(signal);
    } finally {
      seen.ended++;
    }
  };
  return { watch, seen };
}

function openWatch(client: grpc.Client, metadata = new grpc.Metadata()) {
  const request = Buffer.from(
    toBinary(WatchMicroVMsRequestSchema, {
      $typeName: 'flintlock.microvm.v1.WatchMicroVMsRequest',
      namespace: '',
      labelSelector: '',
      cursor: '',
    }),
  );
  const stream = client.makeServerStreamRequest(WATCH, same, same, request, metadata);
  const ended = new Promise<grpc.ServiceError>((resolve) => stream.once('error', resolve));
  const first = once(stream, 'data');
  first.catch(() => {}); // where it is refused
  return { stream, ended, first };
}

test('TLS 1.3 with ALPN h2 on gRPC, TLS on HTTP; the probes answer there too', async () => {
  const ca = new Authority();
  const api = await startApi({}, { tls: new Changing(ca.issue('host')) });
  await call(grpcClient(api, secure(ca.own)));
  const socket = connectTls({
    port: portOf(api.grpc),
    ca: ca.own.cert,
    ALPNProtocols: ['h2'],
    servername: 'localhost',
  });
  await once(socket, 'secureConnect');
  expect([socket.getProtocol(), socket.alpnProtocol]).toEqual(['TLSv1.3', 'h2']);
  socket.destroy();
  const url = `https://localhost:${portOf(api.http)}`;
  for (const path of ['/v1/info', '/healthz', '/readyz'])
    expect(await curl('--cacert', ca.own.certFile, `${url}${path}`)).toMatchObject({ code: 0, err: '' });
  // One connection for both: it is kept.
  const connects = ['-o', '/dev/null', '-o', '/dev/null', '-w', '%{num_connects} '];
  const twice = await curl(...connects, '--cacert', ca.own.certFile, `${url}/healthz`, `${url}/healthz`);
  expect(twice).toMatchObject({ code: 0, out: '1 0 ' });
});

test('what does not speak our TLS is refused clearly, and told once', async () => {
  const ca = new Authority();
  const api = await startApi({}, { tls: new Changing(ca.issue('host')) });
  const url = (scheme: string, endpoint: Endpoint): string => `${scheme}://localhost:${portOf(endpoint)}/v1/info`;
  for (const endpoint of [api.grpc, api.http]) {
    const old = await curl('--tls-max', '1.2', '--cacert', ca.own.certFile, url('https', endpoint));
    expect(old.err).toMatch(/alert protocol version/);
    for (let i = 0; i < 3; i++) {
      const plain = await curl('--write-out', ' %{http_code}', url('http', endpoint));
      expect(plain.out).toMatch(/^{"code":9,"message":"This port speaks TLS, .*connect with TLS".*}\n 400$/);
    }
    const stranger = await curl('--cacert', new Authority('other').own.certFile, url('https', endpoint));
    expect(stranger.err).toMatch(/certificate/);
  }
  // HTTP/1 on the gRPC port: with ALPN there is nothing to agree on, without it is told.
  const alpn = await curl('--http1.1', '--cacert', ca.own.certFile, url('https', api.grpc));
  expect(alpn.err).toMatch(/no application protocol/);
  const none = await curl('--http1.1', '--no-alpn', '--cacert', ca.own.certFile, url('https', api.grpc));
  expect(none.out).toContain('This port speaks gRPC (HTTP/2)');
  // A gRPC client in plain text learns it too.
  const error = await call(grpcClient(api, grpc.credentials.createInsecure())).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: grpc.status.UNAVAILABLE });
  await expect.poll(() => warnings(api).filter((line) => line.includes('this is plain text'))).toHaveLength(1);
  expect(warnings(api).filter((line) => line.includes('UNSUPPORTED_PROTOCOL'))).toHaveLength(1);
});

test('in plain text, each port says what it does not speak', async () => {
  const api = await startApi();
  const at = (scheme: string, endpoint: Endpoint): string => `${scheme}://127.0.0.1:${portOf(endpoint)}/v1/info`;
  expect((await curl(at('http', api.grpc))).out).toContain(
    'This port speaks gRPC (HTTP/2): HTTP/1 with JSON is served',
  );
  const http2 = await curl('--include', '--http2-prior-knowledge', at('http', api.http));
  expect(http2.out).toMatch(/^grpc-status: 14\r\ngrpc-message: This%20port%20speaks%20HTTP/m);
  expect((await curl('--insecure', at('https', api.http))).err).toMatch(/wrong version number/);
  const session = connectHttp2(`http://127.0.0.1:${portOf(api.http)}`);
  session.on('error', () => {});
  const [, , why] = await once(session, 'goaway');
  expect(String(why)).toContain('This port speaks HTTP/1.1 with JSON: gRPC is served at');
  await expect.poll(() => warnings(api).length).toBe(3);
});

test('client certificates: of our CA alone, and not one that has run out', async () => {
  const ca = new Authority();
  const other = new Authority('other');
  const tls = new Changing({ ...ca.issue('host'), clientCa: ca.own.cert });
  const api = await startApi({}, { tls });
  const web = ca.issue('web');
  await call(grpcClient(api, secure(ca.own, web)));
  const url = `https://localhost:${portOf(api.http)}/v1/info`;
  const as = ({ certFile, keyFile }: Pair): string[] => ['--cert', certFile, '--key', keyFile];
  const ask = (...args: string[]) => curl('--cacert', ca.own.certFile, ...args, url);
  expect((await ask(...as(web))).out).toContain('"version"');
  expect(api.log.lines).toContainEqual(
    expect.objectContaining({ fields: expect.objectContaining({ who: 'certificate CN=web' }) }),
  );
  const expired = ca.issue('late', { days: -1 });
  const strange = other.issue('web');
  expect((await ask(...as(expired))).out).toContain('Not let in: the client certificate has expired');
  expect((await ask(...as(strange))).out).toContain('is not signed by a CA that is trusted here');
  expect((await ask()).out).toContain('a client certificate is needed and none was sent');
  for (const pair of [expired, strange, undefined])
    await expect(call(grpcClient(api, secure(ca.own, pair)))).rejects.toMatchObject({
      code: grpc.status.UNAVAILABLE,
      details: expect.stringContaining(
        pair === strange ? 'is not signed by a CA' : pair ? 'has expired' : 'is needed and none was sent',
      ),
    });
  expect(warnings(api).filter((line) => line.includes('has expired'))).toHaveLength(1);
  // Another CA is taken from now on, and what the first one signed no more.
  tls.set({ ...ca.issue('host'), clientCa: other.own.cert });
  expect((await ask(...as(strange))).out).toContain('"version"');
  expect((await ask(...as(web))).out).toContain('is not signed by a CA that is trusted here');
});

test('a client certificate is judged at each connection: no session is resumed', async () => {
  const ca = new Authority();
  const api = await startApi({}, { tls: new Changing({ ...ca.issue('host'), clientCa: ca.own.cert }) });
  const { cert, key } = ca.issue('web');
  const dial = async (session?: Buffer) => {
    const options = {
      port: portOf(api.grpc),
      ca: ca.own.cert,
      ALPNProtocols: ['h2'],
      servername: 'localhost',
      cert,
      key,
    };
    const socket = connectTls({ ...options, ...(session && { session }) });
    let last: Buffer | undefined;
    socket.on('session', (one: Buffer) => {
      last = one;
    });
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
    await once(socket, 'data'); // after the tickets, if there are any
    const reused = socket.isSessionReused();
    socket.destroy();
    return { reused, session: last };
  };
  const first = await dial();
  expect((await dial(first.session)).reused).toBe(false);
});

test('a new certificate is served at once, and no stream is dropped for it', async () => {
  const ca = new Authority();
  const { watch, seen } = quietWatch();
  const tls = new Changing(ca.issue('first'));
  const api = await startApi({ watch }, { tls });
  const client = grpcClient(api, secure(ca.own));
  const { stream, first, ended } = openWatch(client);
  await first;
  tls.set(ca.issue('second'));
  const fresh = connectTls({ port: portOf(api.grpc), ca: ca.own.cert, ALPNProtocols: ['h2'], servername: 'localhost' });
  await once(fresh, 'secureConnect');
  expect(fresh.getPeerCertificate().subject.CN).toBe('second');
  fresh.destroy();
  await call(client); // over the first connection
  expect(seen).toEqual({ started: 1, ended: 0 });
  stream.cancel();
  expect(await ended).toMatchObject({ code: grpc.status.CANCELLED });
});

test('tokens: Basic without a user, Bearer, in any case; on every method and stream', async () => {
  const api = await startApi({}, { tokens: tokensOf({ name: 'ci', secret: SECRET }) });
  const client = grpcClient(api, grpc.credentials.createInsecure());
  const basic = Buffer.from(SECRET).toString('base64');
  for (const header of [`Basic ${basic}`, `basic ${basic}`, `BASIC  ${basic}`, `Bearer ${SECRET}`, `bearer ${SECRET}`])
    await call(client, LIST, header);
  const refused = { code: grpc.status.UNAUTHENTICATED };
  const wrong = [
    '',
    SECRET,
    `Basic ${SECRET}`,
    `Bearer ${SECRET}x`,
    `Bearer ${basic}`,
    'Digest x',
    'Bearer',
    'Basic =',
  ];
  for (const header of wrong) await expect(call(client, LIST, header)).rejects.toMatchObject(refused);
  const user = Buffer.from(`user:${SECRET}`).toString('base64');
  await expect(call(client, LIST, `Basic ${user}`)).rejects.toMatchObject(refused);
  // Whoever has none does not learn which services there are.
  for (const path of [LIST, '/no.Such/Method', '/grpc.health.v1.Health/Watch', '/grpc.health.v1.Health/List'])
    await expect(call(client, path)).rejects.toMatchObject(refused);
  expect((await openWatch(client).ended).code).toBe(grpc.status.UNAUTHENTICATED);
  const reflection = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  const stream = client.makeBidiStreamRequest(reflection, same, same, new grpc.Metadata());
  const [error] = await once(stream, 'error');
  expect(error).toMatchObject(refused);
  // What watches daemons has no token.
  await call(client, HEALTH);
  expect((await api.fetch('/healthz')).status).toBe(200);
  expect((await api.fetch('/readyz')).status).toBe(200);
  const answer = await api.fetch('/v1/info');
  expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="flintlock"']);
  expect((await api.fetch('/v1/info', { headers: { authorization: `Basic ${basic}` } })).status).toBe(200);
  // Neither the right ones nor the wrong ones are in the log.
  expect(JSON.stringify(api.log.lines)).not.toContain(SECRET);
  expect(JSON.stringify(api.log.lines)).not.toContain(basic);
  expect(warnings(api)).toHaveLength(2); // without a token, and with a wrong one: once each
});

test('rights are held to on every surface', async () => {
  const tokens = tokensOf(
    { name: 'eye', secret: 'eye', access: 'read-only' },
    { name: 'team', secret: 'team', namespace: 'team' },
  );
  const created: string[] = [];
  const services = fakeServices();
  const create: Services['create'] = (draft, options) => {
    created.push(draft.namespace);
    return services.create(draft, options);
  };
  const api = await startApi({ create }, { tokens });
  const ask = async (token: string, method: string, path: string, body?: string) => {
    const headers = { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) };
    return (await api.fetch(path, { method, headers, ...(body && { body }) })).status;
  };
  const one = [`/v1/microvms/${SAMPLE_UID}`, `/v1alpha1/microvm/${SAMPLE_UID}`];
  for (const path of one) {
    expect(await ask('eye', 'GET', path)).toBe(200);
    expect(await ask('eye', 'DELETE', path)).toBe(403);
    expect(await ask('team', 'GET', path)).toBe(404);
    expect(await ask('team', 'DELETE', path)).toBe(404);
  }
  const spec = (namespace: string): string => JSON.stringify({ id: 'a', namespace });
  expect(await ask('eye', 'POST', '/v1/namespaces/team/microvms', '{}')).toBe(403);
  expect(await ask('eye', 'POST', '/v1alpha1/microvm', spec('team'))).toBe(403);
  expect(await ask('team', 'POST', '/v1/namespaces/default/microvms', '{}')).toBe(403);
  expect(await ask('team', 'POST', '/v1alpha1/microvm', spec('default'))).toBe(403);
  expect(created).toEqual([]);
  expect(await ask('team', 'POST', '/v1/namespaces/team/microvms', '{}')).toBe(201);
  expect(await ask('team', 'POST', '/v1alpha1/microvm', spec('team'))).toBe(200);
  expect(created).toEqual(['team', 'team']);
  expect(await ask('team', 'GET', '/v1/audit')).toBe(405);
  expect(await ask('team', 'POST', '/v1/audit')).toBe(403);
  expect(await ask('eye', 'POST', '/v1/audit')).toBe(200);
  const told = api.log.lines.filter(({ level }) => level === 'info').map(({ fields }) => fields);
  expect(told).toContainEqual(
    expect.objectContaining({ who: 'token team', from: '127.0.0.1', vm: 'team/a', uid: SAMPLE_UID, result: 'done' }),
  );
  expect(told).toContainEqual(expect.objectContaining({ who: 'token eye', result: expect.stringContaining('denied') }));
});

test('wrong tokens are limited by address: then a right one is refused too, until time has passed', async () => {
  const clock = new FakeClock();
  const api = await startApi({}, { clock, tokens: tokensOf({ name: 'ci', secret: SECRET }) });
  const client = grpcClient(api, grpc.credentials.createInsecure());
  for (let i = 0; i < 20; i++)
    await expect(call(client, LIST, `Bearer wrong-${i}`)).rejects.toMatchObject({ code: grpc.status.UNAUTHENTICATED });
  const full = { code: grpc.status.RESOURCE_EXHAUSTED, details: expect.stringMatching(/again in [1-3] s/) };
  await expect(call(client, LIST, 'Bearer wrong')).rejects.toMatchObject(full);
  await expect(call(client, LIST, `Bearer ${SECRET}`)).rejects.toMatchObject(full);
  expect((await api.fetch('/v1/info', { headers: { authorization: `Bearer ${SECRET}` } })).status).toBe(429);
  await call(client, HEALTH);
  clock.advance(3_000);
  await call(client, LIST, `Bearer ${SECRET}`);
});

test('a token that is withdrawn ends its streams, and no others', async () => {
  const { watch, seen } = quietWatch();
  const end = new AbortController();
  const tokens = tokensOf({ name: 'a', secret: 'a', withdrawn: end.signal }, { name: 'b', secret: 'b' });
  const api = await startApi({ watch }, { tokens });
  const client = grpcClient(api, grpc.credentials.createInsecure());
  const as = (secret: string): grpc.Metadata => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${secret}`);
    return metadata;
  };
  const [one, two] = [openWatch(client, as('a')), openWatch(client, as('b'))];
  await Promise.all([one.first, two.first]);
  const sse = await api.fetch('/v1/watch', { headers: { authorization: 'Bearer a' } });
  const { Fault } = await import('../domain/fault.ts');
  end.abort(new Fault('unauthenticated', 'The token was withdrawn'));
  expect(await one.ended).toMatchObject({ code: grpc.status.UNAUTHENTICATED, details: 'The token was withdrawn' });
  expect(await sse.text()).toContain('event: error\ndata: {"code":16,');
  expect(seen).toEqual({ started: 3, ended: 2 });
  two.stream.cancel();
  await two.ended;
});

test('keepalive pings without a stream are answered and never too many', async () => {
  const api = await startApi();
  const session: ClientHttp2Session = connectHttp2(`http://127.0.0.1:${portOf(api.grpc)}`);
  onTestFinished(() => session.destroy());
  let told = 0;
  session.on('goaway', () => told++);
  await once(session, 'connect');
  for (let i = 0; i < 60; i++)
    await new Promise<void>((resolve, reject) => void session.ping((error) => (error ? reject(error) : resolve())));
  expect([told, session.destroyed]).toEqual([0, false]);
  // And the reference implementation as firerunner configures it, only quicker.
  const options = {
    'grpc.keepalive_time_ms': 1_000,
    'grpc.keepalive_timeout_ms': 1_000,
    'grpc.keepalive_permit_without_calls': 1,
  };
  const client = grpcClient(api, grpc.credentials.createInsecure(), options);
  await call(client);
  const channel = client.getChannel();
  const changed = new Promise((resolve) => {
    channel.watchConnectivityState(grpc.connectivityState.READY, Date.now() + 4_500, resolve);
  });
  expect(await changed).toBeInstanceOf(Error); // the time is up, and nothing has changed
  await call(client);
});

test('a connection for each call, 200 at once', async () => {
  const api = await startApi();
  const answers = await Promise.all(
    Array.from({ length: 200 }, async () => {
      // Else they would share one.
      const client = grpcClient(api, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
      const answer = await call(client);
      client.close();
      return answer.length;
    }),
  );
  expect(answers.filter((length) => length > 0)).toHaveLength(200);
});

test('a client whose socket dies in mid-stream frees its stream and our work', async () => {
  const { watch, seen } = quietWatch();
  const api = await startApi({ watch });
  const socket = connect(portOf(api.grpc), '127.0.0.1');
  const session = connectHttp2(`http://127.0.0.1:${portOf(api.grpc)}`, { createConnection: () => socket });
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': WATCH,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  stream.end(Buffer.alloc(5));
  await once(stream, 'data');
  expect(seen).toEqual({ started: 1, ended: 0 });
  socket.resetAndDestroy();
  await expect.poll(() => seen.ended).toBe(1);
});
