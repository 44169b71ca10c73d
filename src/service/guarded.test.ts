import { describe, expect, test } from 'vitest';
import { allOf } from '../../test/support/all-of.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { fakeServices, SAMPLE_UID, sampleSpecView, sampleVm } from '../../test/support/fake-services.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { Caller } from '../domain/caller.ts';
import { Fault } from '../domain/fault.ts';
import type { MicroVmView, Uid } from '../domain/microvm.ts';
import { guardServices } from './guarded.ts';
import type { Services } from './services.ts';

const OTHERS_UID = '01JDGZ0000000000000000000B' as Uid;
const signal = new AbortController().signal;
const draft = { id: 'x', namespace: 'team', labels: {}, vcpu: 1, memoryInMb: 1, volumes: [], interfaces: [] };
const drafted = (namespace: string) => ({
  ...draft,
  namespace,
  metadata: {},
  provider: '',
  restartPolicy: 'ON_FAILURE',
  providerOptions: {},
  outputsSet: [],
});

/** One microVM in `default`, one in `secret`; what the services were asked is kept. */
function house(caller: Partial<Caller> | undefined) {
  const log = memoryLog();
  const clock = new FakeClock();
  const asked: string[] = [];
  const others = sampleVm({ uid: OTHERS_UID, spec: { ...sampleSpecView, namespace: 'secret' } });
  const find: Services['get'] = async ({ uid, namespace, id }) => {
    asked.push(`get ${uid ?? `${namespace}/${id}`}`);
    clock.set(clock.now() - 3_600_000); // what a call takes is not told by the time of day
    if (uid === SAMPLE_UID || (!uid && (namespace || 'default') === 'default' && id === 'web')) return sampleVm();
    if (uid === OTHERS_UID || (!uid && namespace === 'secret' && id === 'web')) return others;
    throw new Fault('not_found', uid ? `microVM with uid ${uid} not found` : `microVM ${namespace}/${id} not found`);
  };
  const services = fakeServices({
    get: find,
    update: async ({ target }) => find(target, { showDeleted: false }),
    planUpdate: async ({ target }) => ({ vm: await find(target, { showDeleted: false }), plan: [] }),
    delete: async (target) => {
      const vm = await find(target, { showDeleted: false });
      asked.push('delete');
      return vm;
    },
    list: async ({ namespace }) => {
      asked.push(`list ${namespace}`);
      return { vms: [sampleVm()], nextPageToken: '' };
    },
    async *watch({ namespace }, ended) {
      asked.push(`watch ${namespace}`);
      for (const cursor of ['e.1', 'e.2', 'e.3']) {
        ended.throwIfAborted();
        yield { type: 'BOOKMARK' as const, cursor, at: 0 };
        yield { type: 'ADDED' as const, vm: sampleVm(), cursor, at: 0 };
      }
    },
    info: async () => ({ ...(await fakeServices().info()), microvms: 7 }),
  });
  const who: Caller | undefined = caller && { who: 'token ci', from: '192.0.2.1', access: 'read-write', ...caller };
  const guarded = guardServices(services, () => who, { log, clock });
  return { guarded, log, asked };
}

const patch = (uid: string) => ({ target: { uid }, draft: drafted(''), mask: ['labels'], expectedGeneration: 0 });

const EVERYTHING = { namespace: '', labelSelector: '', pageSize: 0, pageToken: '', showDeleted: false };
const ITSELF = { make: (vm: MicroVmView) => vm, bytesOf: () => 1 };
const nothing = (async function* () {})();
const START = {
  ...{ command: 'echo', args: ['secret'], directory: '', environment: {}, shell: false, user: '' },
  ...{ timeoutSeconds: 0, hasStdin: false },
};

const PLACE = { path: Buffer.from('/secret') };

/** Every verb, on the microVM of a uid where it is on one. */
const VERBS: Readonly<Record<keyof Services, (services: Services, uid: string) => Promise<unknown>>> = {
  create: (s) => s.create(drafted('default'), { uniqueId: true }),
  planCreate: (s) => s.planCreate(drafted('default'), { uniqueId: true }),
  update: (s, uid) => s.update(patch(uid)),
  planUpdate: (s, uid) => s.planUpdate(patch(uid)),
  get: (s, uid) => s.get({ uid }, { showDeleted: false }),
  delete: (s, uid) => s.delete({ uid }),
  list: (s) => s.list(EVERYTHING),
  listIn: (s) => s.listIn(ITSELF)(EVERYTHING),
  watch: (s) => allOf(s.watch({ namespace: '', labelSelector: '', cursor: '' }, signal)),
  wait: (s, uid) => s.wait({ uid, until: 'CREATED', timeoutMs: 1 }, signal),
  power: (s, uid) => s.power('stop', { uid, timeoutMs: 1 }, signal),
  readConsole: (s, uid) => allOf(s.readConsole({ uid, follow: false, tailBytes: 0 }, signal)),
  attachConsole: (s, uid) => allOf(s.attachConsole({ uid, tailBytes: 0 }, nothing, signal)),
  exec: (s, uid) => allOf(s.exec({ uid, start: START }, nothing, signal)),
  sshProxy: (s, uid) => allOf(s.sshProxy({ uid }, nothing, signal)),
  forward: (s, uid) => allOf(s.forward({ uid, target: { is: 'tcp', host: '', port: 80 } }, nothing, signal)),
  statistics: (s, uid) => allOf(s.statistics({ uid, intervalMs: 1_000, processes: 0 }, signal)),
  agentInfo: (s, uid) => s.agentInfo({ uid }, signal),
  statFile: (s, uid) => s.statFile({ uid, place: PLACE }, signal),
  listFiles: (s, uid) => allOf(s.listFiles({ uid, place: PLACE }, signal)),
  readFile: (s, uid) => allOf(s.readFile({ uid, place: PLACE, offset: 0n, length: 0n }, signal)),
  writeFile: (s, uid) => s.writeFile({ uid, writing: PLACE }, nothing, signal),
  changeFile: (s, uid) => s.changeFile({ uid, change: { is: 'remove', ...PLACE, recursive: true } }, signal),
  info: (s) => s.info(),
  cordonHost: (s) => s.cordonHost('kernel'),
  uncordonHost: (s) => s.uncordonHost(),
  audit: (s) => s.audit({ fix: true }, signal),
  listImages: (s) => s.listImages(),
  pullImage: (s) => allOf(s.pullImage({ reference: 'registry.test/lab/x:v1' }, signal)),
  removeImage: (s) => s.removeImage('registry.test/lab/x:v1'),
  pruneImages: (s) => s.pruneImages(),
};
const NAMES = Object.keys(VERBS) as (keyof Services)[];
const READS = [
  'planCreate',
  'planUpdate',
  'get',
  'list',
  'listIn',
  'watch',
  'wait',
  'readConsole',
  'statistics',
  'agentInfo',
  'info',
  'listImages',
];
const ON_ONE = [
  ...(['get', 'update', 'planUpdate', 'delete', 'wait', 'power'] as const),
  ...(['readConsole', 'attachConsole', 'exec', 'sshProxy', 'forward', 'statistics', 'agentInfo'] as const),
  ...(['statFile', 'listFiles', 'readFile', 'writeFile', 'changeFile'] as const),
];

describe.each(NAMES)('%s', (name) => {
  test('is for whoever may everything', async () => {
    await VERBS[name](house({}).guarded, SAMPLE_UID);
  });

  test('is refused when it is not known who calls', async () => {
    await expect(VERBS[name](house(undefined).guarded, SAMPLE_UID)).rejects.toMatchObject({ kind: 'denied' });
  });

  test('is refused to a read-only caller when it changes something', async () => {
    const done = VERBS[name](house({ access: 'read-only' }).guarded, SAMPLE_UID);
    if (READS.includes(name)) await done;
    else await expect(done).rejects.toMatchObject({ kind: 'denied', message: expect.stringContaining('is read-only') });
  });

  test('is refused to whoever has been turned out', async () => {
    const withdrawn = AbortSignal.abort(new Fault('unauthenticated', 'withdrawn'));
    await expect(VERBS[name](house({ withdrawn }).guarded, SAMPLE_UID)).rejects.toMatchObject({
      kind: 'unauthenticated',
    });
  });

  test('is in the log with who did it and how it went', async () => {
    const { guarded, log } = house({});
    await VERBS[name](guarded, SAMPLE_UID);
    await VERBS[name](house({ access: 'read-only' }).guarded, SAMPLE_UID).catch(() => {});
    const lines = log.lines.filter(({ fields }) => fields && 'who' in fields);
    expect(lines).toEqual([
      {
        level: READS.includes(name) ? 'debug' : 'info',
        message: expect.any(String),
        fields: expect.objectContaining({ who: 'token ci', from: '192.0.2.1', result: 'done', ms: 0 }),
      },
    ]);
  });
});

test.for<[command: string, program: string]>([
  ['/usr/bin/env', '/usr/bin/env'],
  ['tar x -C /srv', 'tar'],
  ['PASSWORD=hunter2 ./run', 'sh'],
  ["A='x hunter2' ./run", 'sh'],
])('of the command %j the log has %s, and no secret', async ([command, program]) => {
  const { guarded, log } = house({});
  await allOf(guarded.exec({ uid: SAMPLE_UID, start: { ...START, command, shell: true } }, nothing, signal));
  expect(log.lines).toContainEqual(expect.objectContaining({ fields: expect.objectContaining({ program }) }));
  expect(JSON.stringify(log.lines)).not.toMatch(/hunter2|secret/);
});

test('an audit that mends nothing is for a read-only caller', async () => {
  await house({ access: 'read-only' }).guarded.audit({ fix: false }, signal);
});

describe('a caller that is bound to a namespace', () => {
  const own = { namespace: 'default' };

  test.each(ON_ONE)('%s: what is of another is not there, word for word', async (name) => {
    const { guarded, asked, log } = house(own);
    const of = (uid: string) => VERBS[name](guarded, uid).catch((error: unknown) => error);
    const theirs = await of(OTHERS_UID);
    const none = await of('01JDGZ0000000000000000000C');
    expect(theirs).toMatchObject({ kind: 'not_found' });
    expect(String(theirs).replace(OTHERS_UID, 'UID')).toBe(String(none).replace('01JDGZ0000000000000000000C', 'UID'));
    expect(asked).not.toContain('delete');
    await VERBS[name](guarded, SAMPLE_UID);
    expect(JSON.stringify(log.lines)).not.toContain('secret');
  });

  test('nor by its name, for which nobody even looks', async () => {
    const { guarded, asked } = house(own);
    const target = { namespace: 'secret', id: 'web' };
    await expect(guarded.get(target, { showDeleted: true })).rejects.toThrow('microVM secret/web not found');
    await expect(guarded.delete(target)).rejects.toThrow('microVM secret/web not found');
    expect(asked).toEqual([]);
    await guarded.get({ namespace: '', id: 'web' }, { showDeleted: false }); // the default is its own
  });

  test('lists and watches its own where all were asked for, and no other', async () => {
    const { guarded, asked } = house(own);
    await VERBS.list(guarded, '');
    await VERBS.listIn(guarded, '');
    const events = (await VERBS.watch(guarded, '')) as { type: string }[];
    expect(asked).toEqual(['list default', 'list default', 'watch default']);
    // What others do is not to be counted by bookmarks.
    expect(events.map(({ type }) => type)).toEqual(['BOOKMARK', 'ADDED', 'ADDED', 'ADDED']);
    const secret = { ...EVERYTHING, namespace: 'secret' };
    for (const list of [guarded.list(secret), guarded.listIn(ITSELF)(secret)])
      await expect(list).rejects.toMatchObject({ kind: 'denied' });
    const watch = allOf(guarded.watch({ namespace: 'secret', labelSelector: '', cursor: '' }, signal));
    await expect(watch).rejects.toMatchObject({ kind: 'denied' });
    expect(asked).toHaveLength(3);
  });

  test('creates in its own only, also where none is named', async () => {
    const { guarded } = house({ namespace: 'team' });
    await guarded.create(drafted('team'), { uniqueId: true });
    for (const namespace of ['', 'default', 'secret']) {
      await expect(guarded.create(drafted(namespace), { uniqueId: true })).rejects.toMatchObject({ kind: 'denied' });
      await expect(guarded.planCreate(drafted(namespace), { uniqueId: true })).rejects.toMatchObject({
        kind: 'denied',
      });
    }
  });

  test.each(['audit', 'listImages', 'pullImage', 'removeImage', 'pruneImages'] as const)(
    '%s is the host’s',
    async (n) => {
      await expect(VERBS[n](house(own).guarded, '')).rejects.toMatchObject({ kind: 'denied' });
    },
  );

  test('learns of the host what it is, and not what others have', async () => {
    const info = await house(own).guarded.info();
    expect(info).toMatchObject({ version: '0.1.0', microvms: 1 });
    expect(info).not.toHaveProperty('promised');
    expect(info).not.toHaveProperty('used');
  });
});

test('a stream ends when its caller is turned out', async () => {
  const end = new AbortController();
  const { guarded } = house({ withdrawn: end.signal });
  const events = guarded.watch({ namespace: '', labelSelector: '', cursor: '' }, signal)[Symbol.asyncIterator]();
  await events.next();
  await events.next();
  end.abort(new Fault('unauthenticated', 'withdrawn'));
  await expect(events.next()).rejects.toMatchObject({ kind: 'unauthenticated' });
});

test('what was asked for by name is told with its uid, and a flood of letters with few of them', async () => {
  const { guarded, log } = house({});
  await guarded.delete({ namespace: 'default', id: 'web' });
  await guarded.get({ id: 'x'.repeat(1_000_000) }, { showDeleted: false }).catch(() => {});
  expect(log.lines[0]?.fields).toMatchObject({ vm: 'default/web', uid: SAMPLE_UID, result: 'done' });
  expect(JSON.stringify(log.lines[1]).length).toBeLessThan(1_000);
});
