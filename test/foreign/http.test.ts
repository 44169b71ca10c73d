import { expect, type TestContext, test } from 'vitest';
import { Authority } from '../support/certificates.ts';
import { poll, startHost, type TestHost } from '../support/daemon.ts';
import { idleImage } from './idle-image.ts';
import { PARENT, plugParent } from './parent.ts';

/** The drop-in's HTTP as curl meets it: over TLS, with a token. */
const SECRET = 'kettle-drum-orchard';
const URL = 'https://127.0.0.1:8090';
const CLEAN = { leaked: [], missing: [], fixed: [] };

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: JSON
  readonly body: any;
}

class Curl {
  readonly host: TestHost;
  readonly #ca: string;
  constructor(host: TestHost, ca: string) {
    this.host = host;
    this.#ca = ca;
  }
  async ask(method: string, path: string, body?: unknown, authorization = `Bearer ${SECRET}`): Promise<Answer> {
    const out = await this.host.tool(
      ...(['curl', '--silent', '--show-error', '--max-time', '20', '--tlsv1.3', '--cacert', this.#ca] as const),
      ...['--request', method, '--header', `authorization: ${authorization}`, '--write-out', '\n%{http_code}'],
      ...(body === undefined ? [] : ['--json', JSON.stringify(body)]),
      `${URL}${path}`,
    );
    const [, text = '', status] = /^(.*)\n(\d+)$/s.exec(out) ?? [];
    return { status: Number(status), body: JSON.parse(text) };
  }
}

async function start(t: Pick<TestContext, 'onTestFinished'>): Promise<Curl> {
  const ca = new Authority();
  const own = ca.issue('host');
  const host = await startHost(t, {
    flags: [
      ...['--managed-network', '10.77.0.0/24', '--parent-iface', PARENT, '--http-endpoint', '127.0.0.1:8090'],
      ...['--tls-cert', own.certFile, '--tls-key', own.keyFile],
    ],
    env: { FLINTLOCKD_BASIC_AUTH_TOKEN: SECRET },
    prepare: plugParent,
  });
  return new Curl(host, ca.own.certFile);
}

test('a life over HTTP: POST, GET, list, DELETE, 404', async (t) => {
  const curl = await start(t);
  const image = await idleImage(curl.host.images);
  // As hammertime's file has it: names of the wire, enums as numbers.
  const spec = {
    id: 'mvm0',
    namespace: 'ns0',
    labels: { team: 'a' },
    vcpu: 1,
    memory_in_mb: 256,
    kernel: { image, filename: 'boot/vmlinux', cmdline: { quiet: '' }, add_network_config: true },
    root_volume: { id: 'root', source: { container_source: image } },
    interfaces: [
      { device_id: 'eth1', type: 0 },
      { device_id: 'eth2', type: 1 },
    ],
    metadata: { 'user-data': 'I2Nsb3VkLWNvbmZpZwo=' },
  };
  const created = await curl.ask('POST', '/v1alpha1/microvm', spec);
  expect(created).toMatchObject({ status: 200, body: { microvm: { status: { state: 'PENDING' } } } });
  const uid: string = created.body.microvm.spec.uid;

  const vm = await poll(`${uid} is CREATED`, 60_000, async () => {
    const { status, body } = await curl.ask('GET', `/v1alpha1/microvm/${uid}`);
    expect(status).toBe(200);
    expect(body.microvm.status.state).not.toBe('FAILED');
    return body.microvm.status.state === 'CREATED' ? { is: body.microvm } : { not: body.microvm.status.message };
  });
  expect(vm.spec).toMatchObject({
    ...{ id: 'mvm0', namespace: 'ns0', labels: { team: 'a' }, memoryInMb: 256, metadata: spec.metadata },
    ...{ kernel: { image, filename: 'boot/vmlinux', cmdline: { quiet: '' }, addNetworkConfig: true } },
    ...{ rootVolume: { id: 'root', source: { containerSource: image } } },
    interfaces: [
      { deviceId: 'eth1', type: 'MACVTAP' },
      { deviceId: 'eth2', type: 'TAP' },
    ],
  });
  for (const [path, count] of [
    ['', 1],
    ['/ns0', 1],
    ['/ns0?name=mvm0', 1],
    ['/ns0?name=other', 0],
    ['/ns1', 0],
  ] as const) {
    const { status, body } = await curl.ask('GET', `/v1alpha1/microvm${path}`);
    expect(status).toBe(200);
    expect(body.microvm.map((one: typeof vm) => one.spec.uid)).toEqual(count === 1 ? [uid] : []);
  }

  expect(await curl.ask('DELETE', `/v1alpha1/microvm/${uid}`)).toEqual({ status: 200, body: {} });
  const gone = await poll(`${uid} is not found`, 60_000, async () => {
    const answer = await curl.ask('GET', `/v1alpha1/microvm/${uid}`);
    if (answer.status !== 200) return { is: answer };
    expect(answer.body.microvm.status.state).toBe('DELETING');
    return { not: answer.body.microvm.status.message };
  });
  const notFound = { code: 5, message: expect.stringContaining(`microvm spec ${uid} not found`) };
  expect(gone).toMatchObject({ status: 404, body: { ...notFound, details: expect.any(Array) } });
  expect(await curl.ask('DELETE', `/v1alpha1/microvm/${uid}`)).toMatchObject({ status: 404, body: notFound });
  expect(await curl.host.audit()).toEqual(CLEAN);
});

test('errors have the gateway’s form: code, message, details', async (t) => {
  const curl = await start(t);
  const kernel = { image: 'oci:/nowhere:v1' };
  const at = '/v1alpha1/microvm';
  for (const [name, asked, status, code, message] of [
    ['an unknown field', ['POST', at, { id: 'a', kernel, nmae: 'b' }], 400, 3, /nmae/],
    ['an unknown field below', ['POST', at, { kernel: { ...kernel, command_line: '' } }], 400, 3, /command_line/],
    ['a wrong type', ['POST', at, { vcpu: 'many' }], 400, 3, /vcpu/],
    ['no JSON', ['POST', at], 400, 3, /body/],
    [
      'an unknown enum',
      ['POST', at, { interfaces: [{ device_id: 'eth0', type: 'BRIDGE' }] }],
      400,
      3,
      /IfaceType.*BRIDGE/,
    ],
    [
      'what is refused',
      ['POST', at, { id: 'a', kernel, root_volume: { id: 'root', source: { virtiofs_source: '/srv' } } }],
      400,
      3,
      /virtiofs_source/,
    ],
    ['an unknown uid', ['GET', `${at}/01M88Q6C8GEXZ2V3BQPC8AS6HS`], 404, 5, /not found/],
    ['an unknown path', ['GET', '/v1alpha1/nothing'], 404, 5, /./],
    ['a wrong token', ['GET', at, undefined, 'Bearer other'], 401, 16, /./],
    ['a wrong token, Basic', ['GET', at, undefined, 'Basic b3RoZXI='], 401, 16, /./],
  ] as const) {
    const [method, path, body, authorization] = asked as readonly [string, string, unknown?, string?];
    const answer = await curl.ask(method, path, body, authorization);
    expect([name, answer.status, answer.body.code]).toEqual([name, status, code]);
    expect(answer.body.message, name).toMatch(message);
    expect(answer.body.details, name).toBeInstanceOf(Array);
  }
  const basic = `Basic ${Buffer.from(SECRET).toString('base64')}`;
  expect(await curl.ask('GET', at, undefined, basic)).toMatchObject({ status: 200, body: { microvm: [] } });
  // TLS 1.2, and a certificate that is not trusted: curl's numbers for what it could not agree on.
  expect(await curl.host.tryInside('curl', '-s', '--insecure', '--tls-max', '1.2', URL)).toMatchObject({ code: 35 });
  expect(await curl.host.tryInside('curl', '-s', URL)).toMatchObject({ code: 60 });
});
