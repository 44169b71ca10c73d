import { describe, expect, onTestFinished, test } from 'vitest';
import { Authority } from '../support/certificates.ts';
import { poll, startHost, type TestHost } from '../support/daemon.ts';
import { sandboxCreate } from '../support/recorded.ts';
import { Grpcio } from './grpcio.ts';
import { idleImage } from './idle-image.ts';

/** How gRPC's C core, by way of Python, reaches the daemon: tokens, TLS, pings, connections, reflection. */
const SECRET = 'kettle-drum-orchard';
const TARGET = '127.0.0.1:9090';
const TCP = ['--managed-network', 'none', '--grpc-endpoint', TARGET];
const LIST = '/microvm.services.api.v1alpha1.MicroVM/ListMicroVMs';
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** By the address of the other side. */
async function connections(host: TestHost): Promise<readonly string[]> {
  const lines = await host.tool('ss', '-Htn', 'state', 'established', '( sport = :9090 )');
  return lines.split('\n').flatMap((line) => line.trim().split(/\s+/)[3] ?? []);
}

describe.each(['plain text', 'TLS'])('a token over %s', (kind) => {
  test('is taken as Basic and as Bearer, and a wrong one is UNAUTHENTICATED, on streams too', async (t) => {
    const ca = new Authority();
    const own = ca.issue('host');
    const flags = kind === 'TLS' ? ['--tls-cert', own.certFile, '--tls-key', own.keyFile] : ['--insecure'];
    const env = { FLINTLOCKD_BASIC_AUTH_TOKEN: SECRET };
    const host = await startHost(t, { flags: [...TCP, ...flags], env });
    const trust = kind === 'TLS' ? { ca: ca.own.certFile } : {};

    // hammertime and the Cluster API provider, by a scheme of any case; brigade.
    for (const authorization of [`Basic ${base64(SECRET)}`, `basic ${base64(SECRET)}`, `Bearer ${SECRET}`]) {
      using client = new Grpcio(host, { target: TARGET, ...trust, authorization });
      expect(await client.list([])).toEqual([]);
      expect(await client.services('v1')).toContain('microvm.services.api.v1alpha1.MicroVM');
    }
    const wrong = [`Basic ${base64('other')}`, `Basic ${base64(`:${SECRET}`)}`, `Basic ${SECRET}`, 'Bearer other', ''];
    for (const authorization of wrong) {
      using client = new Grpcio(host, { target: TARGET, ...trust, authorization });
      await expect(client.raw(LIST), authorization).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
      await expect(client.services('v1'), authorization).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    expect(host.log).not.toContain(SECRET);
  });
});

test('TLS 1.3 with ALPN h2; the certificate of a client is looked at; strangers are UNAVAILABLE', async (t) => {
  const [ca, stranger] = [new Authority(), new Authority('stranger')];
  const [own, client] = [ca.issue('host'), ca.issue('manager')];
  const files = ['--tls-cert', own.certFile, '--tls-key', own.keyFile, '--tls-client-ca', ca.own.certFile];
  const host = await startHost(t, { flags: [...TCP, ...files, '--tls-client-validate'] });
  using known = new Grpcio(host, { target: TARGET, ca: ca.own.certFile, cert: client.certFile, key: client.keyFile });
  expect(await known.list([])).toEqual([]);

  const other = stranger.issue('manager');
  for (const [files, why] of [
    [{}, 'a client certificate is needed and none was sent'],
    [{ cert: other.certFile, key: other.keyFile }, 'is not signed by a CA'],
  ] as const) {
    using refused = new Grpcio(host, { target: TARGET, ca: ca.own.certFile, ...files });
    const details = expect.stringContaining(why);
    await expect(refused.raw(LIST)).rejects.toMatchObject({ code: 'UNAVAILABLE', details });
  }
  using plain = new Grpcio(host, { target: TARGET });
  await expect(plain.raw(LIST)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    details: expect.stringContaining('This port speaks TLS'),
  });
  using astray = new Grpcio(host, { target: TARGET, ca: stranger.own.certFile });
  await expect(astray.raw(LIST)).rejects.toMatchObject({ code: 'UNAVAILABLE' });

  const pem = [client.certFile, client.keyFile, ca.own.certFile];
  const script = `openssl s_client -connect ${TARGET} -alpn h2 -cert $1 -key $2 -CAfile $3 -verify_return_error </dev/null`;
  const told = await host.tool('sh', '-c', script, 'sh', ...pem);
  expect(told).toContain('New, TLSv1.3');
  expect(told).toContain('ALPN protocol: h2');
});

test('a ping each second and no stream: the connection is the same after 12 seconds', async (t) => {
  const host = await startHost(t, { flags: [...TCP, '--insecure'] });
  const options = [
    ['grpc.keepalive_time_ms', 1_000],
    ['grpc.keepalive_timeout_ms', 5_000],
    ['grpc.keepalive_permit_without_calls', 1],
    ['grpc.http2.max_pings_without_data', 0],
  ] as const;
  using client = new Grpcio(
    host,
    { target: TARGET, options },
    { GRPC_TRACE: 'http_keepalive,http', GRPC_VERBOSITY: 'DEBUG' },
  );
  expect(await client.list([])).toEqual([]);
  const before = await connections(host);
  expect(before).toHaveLength(1);
  const { states } = await client.idle(12);
  expect(states).toEqual([]);
  expect(await client.list([])).toEqual([]);
  expect(await connections(host)).toEqual(before);
  expect(client.log.match(/Finish keepalive ping/g)?.length).toBeGreaterThanOrEqual(8);
  expect(client.log).not.toMatch(/too_many_pings|ENHANCE_YOUR_CALM/i);
});

test('a connection for each call, as the Cluster API provider has it, beside one that stays', async (t) => {
  const host = await startHost(t, { flags: [...TCP, '--insecure'] });
  using client = new Grpcio(host, { target: TARGET });
  expect(await client.list([])).toEqual([]);
  for (let i = 0; i < 50; i++) await client.call('ListMicroVMs', [], { fresh: true });
  expect(await client.list([])).toEqual([]);
  await poll('one connection is left', 10_000, async () => {
    const count = (await connections(host)).length;
    return count === 1 ? { is: count } : { not: `${count} connections` };
  });
  expect(await client.end()).toBe(0);
});

test.each(['v1', 'v1alpha'])('reflection %s tells of every service and of what each imports', async (version) => {
  const host = await startHost({ onTestFinished });
  using client = new Grpcio(host, { target: `unix:${host.socket}` });
  const services = await client.services(version);
  expect(services).toEqual(
    expect.arrayContaining([
      'microvm.services.api.v1alpha1.MicroVM',
      'flintlock.microvm.v1.MicroVMService',
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ]),
  );
  for (const service of services) expect(await client.describe(version, service)).toHaveProperty('files');
  expect(await client.describe(version, 'microvm.services.api.v1alpha1.MicroVM.CreateMicroVM')).toMatchObject({
    files: expect.arrayContaining(['google/protobuf/any.proto', 'google/protobuf/empty.proto']),
  });
  expect(await client.describe(version, 'no.such.Service')).toMatchObject({ code: 5 });
});

test('a full host is RESOURCE_EXHAUSTED and one that is down UNAVAILABLE: clients try these again', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none', '--max-microvms', '1'] });
  const image = await idleImage(host.images);
  const request = sandboxCreate({ kernel: image, kernelFile: '', root: image, modules: '', type: 1 });
  using client = new Grpcio(host, { target: `unix:${host.socket}` });
  const uid = (await client.create(request)).spec?.uid ?? '';
  await expect(client.create(request)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
  await client.untilCreated(uid);
  await client.delete(uid);
  await client.untilNotFound(uid);
  await client.untilCreated((await client.create(request)).spec?.uid ?? '');
  await host.kill9();
  await expect(client.create(request)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});
