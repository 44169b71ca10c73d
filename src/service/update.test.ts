import { describe, expect, test } from 'vitest';
import { turn } from '../../test/support/fake-clock.ts';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { fail, hang } from '../../test/support/fake-world.ts';
import type { SpecDraft } from '../domain/draft.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { UpdateRequest } from './services.ts';

function quietHost(): FakeHost {
  const host = new FakeHost();
  host.world.always('image', hang);
  return host;
}

const nothing: SpecDraft = {
  ...fullDraft,
  id: '',
  labels: {},
  metadata: {},
  volumes: [],
  interfaces: [],
  restartPolicy: 'ON_FAILURE',
};
const request = (
  uid: Uid,
  mask: readonly string[],
  draft: Partial<SpecDraft> = {},
  expectedGeneration = 0,
): UpdateRequest => ({ target: { uid }, mask, draft: { ...nothing, ...draft }, expectedGeneration });
const update = (host: FakeHost, ...args: Parameters<typeof request>) => host.life.services.update(request(...args));
const base64 = (text: string): string => Buffer.from(text).toString('base64');
/** No interface may ask: metadata is on a disk, or there is none. */
const asksNot = fullDraft.interfaces.map((nic) => ({ ...nic, allowMetadata: false }));

describe('update', () => {
  test('changes labels, metadata and restart policy, and moves version, generation and time', async () => {
    const host = quietHost();
    const uid = await host.create({ labels: { app: 'web', old: '1' }, metadata: { 'user-data': base64('one') } });
    const { version } = host.vm(uid);
    host.clock.advance(5_000);
    const vm = await update(host, uid, ['labels', 'metadata.user-data', 'metadata.x', 'restart_policy'], {
      labels: { app: 'db' },
      metadata: { 'user-data': base64('two'), x: '' },
      restartPolicy: 'NEVER',
    });
    expect(vm).toMatchObject({
      version: version + 1,
      generation: 2,
      updatedAt: host.clock.now(),
      createdAt: host.clock.now() - 5_000,
      spec: { metadata: { 'user-data': base64('two'), x: '' }, restartPolicy: 'NEVER', vcpu: 1, id: 'web' },
    });
    expect(vm.spec.labels).toEqual({ app: 'db' });
    const { metadata, ...spec } = vm.spec;
    expect(host.vm(uid)).toMatchObject({ generation: 2, spec: { ...spec, metadataRef: { generation: 2 } } });
    expect(host.life.store.metadataOf(host.vm(uid))).toEqual(metadata);
    const list = (labelSelector: string) =>
      host.life.services.list({ namespace: '', labelSelector, pageSize: 0, pageToken: '', showDeleted: false });
    expect((await list('app=db')).vms).toHaveLength(1);
    expect((await list('old')).vms).toHaveLength(0);
  });

  test('entry by entry leaves the others, also with dots in the key or in backquotes', async () => {
    const host = quietHost();
    const uid = await host.create({ labels: { 'a.example/x': '1', keep: '2', 'b.c': '3' } });
    const labels = { 'a.example/x': 'new', unmasked: 'not looked at' };
    const vm = await update(host, uid, ['labels.a.example/x', 'labels.`b.c`', 'labels.none'], { labels });
    expect(vm.spec.labels).toEqual({ 'a.example/x': 'new', keep: '2' });
  });

  test('that changes nothing writes nothing', async () => {
    const host = quietHost();
    const uid = await host.create({ labels: { app: 'web' } });
    const before = host.vm(uid);
    const { seq } = host.life.store.cursor();
    const mask = ['labels', 'labels.none', 'metadata', 'restart_policy'];
    expect((await update(host, uid, mask, { labels: { app: 'web' } })).generation).toBe(1);
    expect(host.vm(uid)).toEqual(before);
    expect(host.life.store.cursor().seq).toBe(seq);
  });

  test('of anything else is refused by name, all at once, and changes nothing', async () => {
    const host = quietHost();
    const uid = await host.create();
    const mask = [
      ...['vcpu', 'pull_policy', 'kernel.image', 'uid', 'colour', 'labels.a b', 'labels.', '*'],
      ...['restart_policy', 'metadata'],
    ];
    const draft = { labels: { 'a b': '1' }, metadata: { 'user-data': '%' }, restartPolicy: '7', id: 'other' };
    const failure = await update(host, uid, mask, draft).catch((error: unknown) => error);
    expect(failure).toMatchObject({ kind: 'invalid' });
    const fields = failure instanceof Fault && failure.violations.map(({ field }) => field);
    expect(fields).toEqual([
      ...['id', 'vcpu', 'pull_policy', 'kernel.image', 'uid', 'update_mask', 'update_mask', 'update_mask'],
      ...['restart_policy', 'labels[a b]', 'metadata[user-data]'],
    ]);
    expect(host.vm(uid).generation).toBe(1);
    await expect(update(host, uid, [])).rejects.toMatchObject({ violations: [{ field: 'update_mask' }] });
  });

  test('of metadata is refused where none may ask for it: it lies on a disk, or nowhere', async () => {
    const host = quietHost();
    for (const [metadata, words] of [
      [{ 'user-data': base64('one') }, 'on a disk'],
      [{}, 'no interface may ask'],
    ] as const) {
      const interfaces = asksNot.map((nic) => ({ ...nic, publishedPorts: [] }));
      const uid = await host.create({ id: '', interfaces, metadata });
      await expect(update(host, uid, ['metadata.x'], { metadata: { x: base64('y') } })).rejects.toMatchObject({
        violations: [{ field: 'metadata', description: expect.stringContaining(words) }],
      });
      expect((await update(host, uid, ['metadata'], { metadata })).generation).toBe(1);
    }
  });

  test('of metadata that is on a disk beside the service is refused too: the two would differ', async () => {
    const host = quietHost();
    for (const [metadata, words] of [
      [{ x: base64('one') }, 'on a disk'],
      [{}, 'none was made'],
    ] as const) {
      const uid = await host.create({ id: '', metadata, metadataAnyhow: true });
      await expect(update(host, uid, ['metadata.x'], { metadata: { x: base64('y') } })).rejects.toMatchObject({
        violations: [{ field: 'metadata', description: expect.stringContaining(words) }],
      });
    }
  });

  test('of more metadata than there is room for is refused', async () => {
    const host = quietHost();
    const uid = await host.create({ metadata: { y: base64('y') } });
    const large = { x: base64('x'.repeat(1 << 20)) };
    await expect(update(host, uid, ['metadata.x'], { metadata: large })).rejects.toMatchObject({
      violations: [{ field: 'metadata' }],
    });
  });

  test('of another generation than expected is a conflict that names both', async () => {
    const host = quietHost();
    const uid = await host.create();
    await update(host, uid, ['labels.a'], { labels: { a: '1' } }, 1);
    await expect(update(host, uid, ['labels.a'], { labels: { a: '2' } }, 1)).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('it is of generation 2, not 1'),
    });
    await expect(update(host, uid, ['labels.a'], { labels: { a: '2' } }, 2)).resolves.toMatchObject({ generation: 3 });
  });

  test('while it is being deleted is refused, and not found once it is gone', async () => {
    const host = quietHost();
    host.world.next('undo image', hang);
    const uid = await host.create();
    await host.delete(uid);
    await expect(update(host, uid, ['labels.a'], { labels: { a: '1' } })).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('being deleted'),
    });
    const other = await host.create({ id: 'other' });
    await host.delete(other);
    await host.until(other, 'gone');
    await expect(update(host, other, ['labels.a'])).rejects.toMatchObject({ kind: 'not_found' });
  });

  test('many at once lose nothing, of each other and of the work that goes on', async () => {
    const host = new FakeHost();
    const uid = await host.create({ labels: {} });
    const all = Array.from({ length: 50 }, async (_, i) => {
      for (let turns = 0; turns < i; turns++) await turn();
      await update(host, uid, [`labels.k${i}`], { labels: { [`k${i}`]: `${i}` } });
    });
    await Promise.all(all);
    const vm = await host.until(uid, 'CREATED');
    expect(Object.keys(vm.spec.labels)).toHaveLength(50);
    expect(vm.generation).toBe(51);
    expect(vm.made.interfaces.eth0).toBeDefined();
  });

  test('that could not be stored is told, and is not there', async () => {
    const host = quietHost();
    const uid = await host.create();
    host.life.dead = true;
    await expect(update(host, uid, ['labels.a'], { labels: { a: '1' } })).rejects.toThrow();
    expect(host.vm(uid).generation).toBe(1);
  });

  test('of the policy has the microVM looked at again; of labels alone not', async () => {
    const host = new FakeHost();
    host.world.always('vmm', fail(new Fault('refused', 'no')));
    const uid = await host.create();
    await host.until(uid, 'FAILED');
    const woken: Uid[] = [];
    Object.assign(host.life.context, { wake: { wake: (one: Uid) => woken.push(one), interrupt: () => undefined } });
    await update(host, uid, ['labels.a'], { labels: { a: '1' } });
    expect(woken).toEqual([]);
    await update(host, uid, ['restart_policy'], { restartPolicy: 'ALWAYS' });
    expect(woken).toEqual([uid]);
  });
});

describe('an update that is only planned', () => {
  test('tells what would change and how the record would be, and writes nothing', async () => {
    const host = quietHost();
    const uid = await host.create({ labels: { old: '1' }, metadata: { x: base64('y') } });
    const { seq } = host.life.store.cursor();
    const mask = ['labels', 'metadata.x', 'metadata.user-data', 'restart_policy'];
    const draft = { labels: { app: 'db' }, metadata: { 'user-data': base64('hello') }, restartPolicy: 'ALWAYS' };
    const { vm, plan } = await host.life.services.planUpdate(request(uid, mask, draft));
    expect(plan).toEqual([
      'labels: take old away',
      'labels: set app=db',
      'metadata: serve x no more',
      'metadata: serve user-data with 5 bytes',
      'restart_policy: ALWAYS instead of ON_FAILURE',
    ]);
    expect(vm).toMatchObject({ generation: 2, spec: { labels: { app: 'db' }, restartPolicy: 'ALWAYS' } });
    expect(host.life.store.cursor().seq).toBe(seq);
    expect(host.vm(uid).generation).toBe(1);
    const same = await host.life.services.planUpdate(request(uid, ['labels.none']));
    expect(same.plan).toEqual(['nothing: it is so already']);
    await expect(host.life.services.planUpdate(request(uid, ['vcpu']))).rejects.toMatchObject({ kind: 'invalid' });
    await expect(host.life.services.planUpdate(request(uid, ['labels.a'], {}, 9))).rejects.toMatchObject({
      kind: 'conflict',
    });
  });
});
