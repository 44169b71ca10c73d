import type { JsonValue } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { startApi, type TestApi } from '../../test/support/api.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import type { Uid } from '../domain/microvm.ts';
import { MicroVM as DropinService } from '../gen/dropin/services/microvms_pb.ts';
import { MicroVMService } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { Health } from '../gen/health/v1/health_pb.ts';

/** What every surface can do, in one form. A read of what is not there is undefined. */
interface Surface {
  create(id: string): Promise<string>;
  read(uid: string): Promise<{ readonly id: string; readonly state: number | string } | undefined>;
  list(): Promise<readonly string[]>;
  delete(uid: string): Promise<void>;
  /** The types of the next events of a microVM until it is gone; absent: the surface has no watch. */
  watch?(uid: string, signal: AbortSignal): AsyncIterable<string>;
}

const kernel = { image: 'oci:/images:kernel' };
const source = { containerSource: 'oci:/images:root' };
const nativeSpec = (id: string) => ({ id, memoryInMb: 64, kernel, volumes: [{ id: 'root', isRoot: true, source }] });
const dropinSpec = (id: string) => ({ id, memoryInMb: 64, kernel, rootVolume: { id: 'root', source } });

const orMissing = async <T>(ask: Promise<T>): Promise<T | undefined> => {
  try {
    return await ask;
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) return undefined;
    throw error;
  }
};

function nativeGrpc(api: TestApi): Surface {
  const vms = api.client(MicroVMService);
  return {
    create: async (id) => (await vms.createMicroVM({ microvm: nativeSpec(id) })).microvm?.spec?.uid ?? '',
    async read(uid) {
      const answer = await orMissing(vms.getMicroVM({ uid }));
      return answer && { id: answer.microvm?.spec?.id ?? '', state: answer.microvm?.status?.state ?? -1 };
    },
    list: async () => (await vms.listMicroVMs({})).microvm.map((vm) => vm.spec?.uid ?? ''),
    delete: async (uid) => void (await vms.deleteMicroVM({ uid })),
    async *watch(uid, signal) {
      for await (const { type, microvm } of vms.watchMicroVMs({}, { signal })) {
        if (microvm?.spec?.uid === uid) yield ['', 'ADDED', 'MODIFIED', 'DELETED'][type] ?? '';
      }
    },
  };
}

function dropinGrpc(api: TestApi): Surface {
  const vms = api.client(DropinService);
  return {
    create: async (id) => (await vms.createMicroVM({ microvm: dropinSpec(id) })).microvm?.spec?.uid ?? '',
    async read(uid) {
      const answer = await orMissing(vms.getMicroVM({ uid }));
      return answer && { id: answer.microvm?.spec?.id ?? '', state: answer.microvm?.status?.state ?? -1 };
    },
    list: async () => (await vms.listMicroVMs({ name: '' })).microvm.map((vm) => vm.spec?.uid ?? ''),
    delete: async (uid) => void (await vms.deleteMicroVM({ uid })),
  };
}

interface VmJson {
  readonly spec: { readonly id: string; readonly uid: string };
  readonly status: { readonly state: string };
}

function overHttp(
  api: TestApi,
  paths: { readonly create: string; readonly all: string; readonly one: (uid: string) => string },
  specOf: (id: string) => JsonValue,
  vmOf: (json: unknown) => VmJson,
): Surface {
  const ask = async (path: string, method = 'GET', body?: JsonValue): Promise<unknown> => {
    const headers = { 'content-type': 'application/json' };
    const answer = await api.fetch(path, {
      method,
      ...(body !== undefined && { headers, body: JSON.stringify(body) }),
    });
    const json: unknown = await answer.json();
    if (answer.status === 404) return undefined;
    if (!answer.ok) throw new Error(JSON.stringify(json));
    return json;
  };
  return {
    create: async (id) => vmOf(await ask(paths.create, 'POST', specOf(id))).spec.uid,
    async read(uid) {
      const json = await ask(paths.one(uid));
      return json === undefined ? undefined : { id: vmOf(json).spec.id, state: vmOf(json).status.state };
    },
    list: async () => ((await ask(paths.all)) as { microvm: VmJson[] }).microvm.map(({ spec }) => spec.uid),
    delete: async (uid) => void (await ask(paths.one(uid), 'DELETE')),
  };
}

const nativeHttp = (api: TestApi): Surface => ({
  ...overHttp(
    api,
    { create: '/v1/namespaces/default/microvms', all: '/v1/microvms', one: (uid) => `/v1/microvms/${uid}` },
    nativeSpec,
    (json) => json as VmJson,
  ),
  async *watch(uid, signal) {
    const { body } = await api.fetch('/v1/watch', { signal });
    let text = '';
    for await (const piece of body ?? []) {
      text += Buffer.from(piece).toString();
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const event = text.slice(0, end);
        text = text.slice(end + 2);
        if (event.includes(uid)) yield /^event: (\w+)/.exec(event)?.[1] ?? '';
      }
    }
  },
});

const dropinHttp = (api: TestApi): Surface =>
  overHttp(
    api,
    { create: '/v1alpha1/microvm', all: '/v1alpha1/microvm', one: (uid) => `/v1alpha1/microvm/${uid}` },
    dropinSpec,
    (json) => (json as { microvm: VmJson }).microvm,
  );

const SURFACES = {
  'native gRPC': nativeGrpc,
  'native HTTP': nativeHttp,
  'drop-in gRPC': dropinGrpc,
  'drop-in HTTP': dropinHttp,
} as const;
const names = Object.keys(SURFACES) as (keyof typeof SURFACES)[];
const pairs = names.flatMap((made) => names.map((seen) => [made, seen] as const));

test.each(pairs)('what %s made is read, listed, watched and deleted by %s', async (made, seen) => {
  const host = new FakeHost();
  const api = await startApi(host.life.services);
  const [maker, other] = [SURFACES[made](api), SURFACES[seen](api)];
  const uid = (await maker.create('web')) as Uid;
  await host.until(uid, 'CREATED');
  expect(await other.read(uid)).toEqual({ id: 'web', state: seen.endsWith('gRPC') ? 1 : 'CREATED' });
  expect(await other.list()).toEqual([uid]);

  const stop = new AbortController();
  const events = other.watch?.(uid, stop.signal)[Symbol.asyncIterator]();
  expect(await events?.next()).toEqual(events && { done: false, value: 'ADDED' });
  await other.delete(uid);
  await host.until(uid, 'gone');
  for (let last = ''; events && last !== 'DELETED'; ) {
    const { value } = await events.next();
    expect(['MODIFIED', 'DELETED']).toContain(value);
    last = value;
  }
  stop.abort();
  for (const surface of [maker, other]) {
    expect(await surface.read(uid)).toBeUndefined();
    expect(await surface.list()).toEqual([]);
  }
});

test('the health of the drop-in service can be asked for', async () => {
  const api = await startApi();
  expect(await api.client(Health).check({ service: DropinService.typeName })).toMatchObject({ status: 1 });
});
