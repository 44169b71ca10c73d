import { beforeEach, describe, expect, test } from 'vitest';
import { startApi, type TestApi } from '../../../test/support/api.ts';
import { FakeHost } from '../../../test/support/fake-host.ts';
import type { Uid } from '../../domain/microvm.ts';

const ALL = '/v1alpha1/microvm';
const spec = {
  id: 'web',
  namespace: 'ns1',
  labels: { app: 'web' },
  memory_in_mb: 128,
  kernel: { image: 'oci:/images:kernel', cmdline: { quiet: '' }, add_network_config: true },
  root_volume: { id: 'root', source: { container_source: 'oci:/images:root' } },
  interfaces: [{ device_id: 'eth0', type: 1 }],
};

interface Json {
  readonly [key: string]: unknown;
  readonly microvm?: { readonly spec: { readonly uid: string } };
}

let host: FakeHost;
let api: TestApi;
beforeEach(async () => {
  host = new FakeHost();
  api = await startApi(host.life.services);
});

async function ask(path: string, init: RequestInit = {}): Promise<{ status: number; json: Json }> {
  const answer = await api.fetch(path, init);
  return { status: answer.status, json: (await answer.json()) as Json };
}
const post = (body: unknown, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
  ask(ALL, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) });

describe('the life of a microVM', () => {
  test('create, get, list, delete, with the answers’ names as published', async () => {
    const { status, json } = await post(spec);
    expect(status).toBe(200);
    const uid = (json.microvm?.spec.uid ?? '') as Uid;
    expect(json).toMatchObject({
      microvm: {
        spec: { id: 'web', namespace: 'ns1', memoryInMb: 128, rootVolume: { id: 'root' }, additionalVolumes: [] },
        status: { state: 'PENDING', vsockPath: '' },
      },
    });
    await host.until(uid, 'CREATED');
    expect(await ask(`${ALL}/${uid}`)).toMatchObject({
      status: 200,
      json: { microvm: { spec: { uid, kernel: { cmdline: { quiet: '' } } }, status: { state: 'CREATED' } } },
    });
    for (const path of [`${ALL}/ns1`, `${ALL}/ns1?name=web`, ALL, `${ALL}?namespace=ns1&name=web`, `${ALL}/ns1?name=`])
      expect(await ask(path)).toMatchObject({ status: 200, json: { microvm: [{ spec: { uid } }] } });
    for (const path of [`${ALL}/ns2`, `${ALL}/ns1?name=other`, `${ALL}?name=other`])
      expect(await ask(path)).toEqual({ status: 200, json: { microvm: [] } });
    expect(await ask(`${ALL}/${encodeURIComponent('ns1/web')}`)).toMatchObject({
      json: { microvm: { spec: { uid } } },
    });

    host.world.always('undo vmm', () => new Promise(() => undefined));
    expect(await ask(`${ALL}/${uid}`, { method: 'DELETE' })).toEqual({ status: 200, json: {} });
    expect(await ask(`${ALL}/${uid}`)).toMatchObject({ json: { microvm: { status: { state: 'DELETING' } } } });
  });

  test('camel case, names of enums, and any content type: curl -d says it is a form', async () => {
    const camel = {
      id: 'camel',
      memoryInMb: 128,
      kernel: { image: 'k' },
      rootVolume: { id: 'root', isReadOnly: true, source: { containerSource: 'r' } },
      interfaces: [{ deviceId: 'eth0', type: 'TAP' }],
    };
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    expect(await post(camel, form)).toMatchObject({
      status: 200,
      json: { microvm: { spec: { namespace: 'default', rootVolume: { isReadOnly: true } } } },
    });
  });

  test('a namespace that is called like a uid is listed where there is one', async () => {
    const namespace = '01HF7YAT00ZZZZZZZZZZZZZZZZ';
    expect(await ask(`${ALL}/${namespace}`)).toMatchObject({
      status: 404,
      json: { code: 5, message: expect.stringContaining(`microvm spec ${namespace} not found`), details: [] },
    });
    await post({ ...spec, namespace });
    expect(await ask(`${ALL}/${namespace}`)).toMatchObject({
      status: 200,
      json: { microvm: [{ spec: { namespace } }] },
    });
    expect(await ask(`${ALL}/${namespace}?name=other`)).toEqual({ status: 200, json: { microvm: [] } });
  });
});

describe('errors have the gateway’s form', () => {
  test('an unknown field is 400, by its name', async () => {
    expect(await post({ ...spec, rootVolumes: [] })).toMatchObject({
      status: 400,
      json: { code: 3, message: expect.stringContaining('rootVolumes'), details: [expect.anything()] },
    });
    // The native API's.
    expect(await post({ ...spec, volumes: [] })).toMatchObject({ status: 400, json: { code: 3 } });
    expect(await post({ ...spec, root_volume: [] })).toMatchObject({ status: 400, json: { code: 3 } });
  });

  test('what is wrong, what is missing, what is no JSON', async () => {
    expect(await post({ ...spec, root_volume: undefined })).toMatchObject({
      status: 400,
      json: {
        code: 3,
        message: expect.stringMatching(/root_volume: is required/),
        details: [{ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: expect.anything() }],
      },
    });
    for (const body of ['', '[]', '{', 'x=1'])
      expect(await post(body)).toMatchObject({ status: 400, json: { code: 3 } });
    expect(await ask(`${ALL}/nobody`, { method: 'DELETE' })).toMatchObject({
      status: 404,
      json: { code: 5, message: expect.stringContaining('microvm spec nobody not found'), details: [] },
    });
    expect(await ask(`${ALL}?colour=red`)).toMatchObject({ status: 400, json: { code: 3 } });
    expect(await ask('/v1alpha1/microvms')).toMatchObject({ status: 404, json: { code: 5 } });
  });

  test('several of one name', async () => {
    await post(spec);
    await post({ ...spec, interfaces: [] });
    expect(await ask(`${ALL}/${encodeURIComponent('ns1/web')}`, { method: 'DELETE' })).toMatchObject({
      status: 400,
      json: { code: 9, message: expect.stringContaining('ambiguous') },
    });
  });

  test('pages of other sites may not call it', async () => {
    const answer = await post(spec, { 'content-type': 'text/plain', origin: 'https://evil.example' });
    expect(answer).toMatchObject({ status: 403, json: { code: 7 } });
    expect(host.life.store.count()).toBe(0);
  });
});
