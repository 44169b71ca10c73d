import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { turn } from '../../test/support/fake-clock.ts';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { hang } from '../../test/support/fake-world.ts';
import type { SpecDraft } from '../domain/draft.ts';
import { canonical } from './idempotency-key.ts';

/** A host whose microVMs stay as they were made. */
function quietHost(options: ConstructorParameters<typeof FakeHost>[0] = {}): FakeHost {
  const host = new FakeHost(options);
  host.world.always('image', hang);
  return host;
}

const keyed = { uniqueId: true, idempotencyKey: 'key-1' };

describe('a create with an idempotency key', () => {
  test('that comes again gets the first answer, whatever became of the microVM', async () => {
    const host = quietHost();
    const first = await host.life.services.create(fullDraft, keyed);
    const cursor = host.life.store.cursor();
    host.clock.advance(5_000);
    expect(await host.life.services.create(fullDraft, keyed)).toEqual(first);
    expect(host.life.store.cursor()).toEqual(cursor);

    await host.delete(first.uid);
    await host.until(first.uid, 'gone');
    expect(await host.life.services.create(fullDraft, keyed)).toEqual(first);
    expect(host.life.store.count()).toBe(0);
  });

  test('gets it from the next daemon too', async () => {
    const host = quietHost();
    const first = await host.life.services.create(fullDraft, keyed);
    await host.restart();
    expect(await host.life.services.create(fullDraft, keyed)).toEqual(first);
    expect(host.life.store.count()).toBe(1);
  });

  test('without an id makes one microVM', async () => {
    const host = quietHost();
    const draft = { ...fullDraft, id: '', interfaces: [] };
    const uids = new Set<string>();
    for (let i = 0; i < 3; i++) uids.add((await host.life.services.create(draft, keyed)).uid);
    expect(uids.size).toBe(1);
    expect(host.life.store.count()).toBe(1);
  });

  test('for another request is refused, and says whose the key is', async () => {
    const host = quietHost();
    const { uid } = await host.life.services.create(fullDraft, keyed);
    for (const other of [
      { ...fullDraft, vcpu: 2 },
      { ...fullDraft, labels: { app: '' } },
      { ...fullDraft, id: 'db' },
    ])
      await expect(host.life.services.create(other, keyed)).rejects.toMatchObject({
        kind: 'refused',
        message: expect.stringMatching(new RegExp(`"key-1" was used at .* made microVM default/web \\(${uid}\\)`)),
      });
    expect(host.life.store.count()).toBe(1);
  });

  test('meets no key of a caller that it may not know of', async () => {
    const host = quietHost();
    await host.life.services.create(fullDraft, keyed);
    const team = { ...keyed, knows: 'team' };
    const draft = { ...fullDraft, namespace: 'team', interfaces: [] };
    const { uid } = await host.life.services.create(draft, team);
    expect((await host.life.services.create(draft, team)).uid).toBe(uid);
    expect(host.life.store.count()).toBe(2);
  });

  test('many at once make one microVM, and all get the same answer', async () => {
    const host = quietHost();
    const answers = await Promise.all(Array.from({ length: 10 }, () => host.life.services.create(fullDraft, keyed)));
    expect(new Set(answers.map(({ uid }) => uid)).size).toBe(1);
    expect(host.life.store.count()).toBe(1);
    expect(host.allocated('vmm-user')).toBe(1);
  });

  test('is answered also when the first has taken meanwhile what this one is checked for', async () => {
    let checks = 0;
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    const host: FakeHost = quietHost({
      context: {
        capacity: async () => {
          if (++checks === 1) await held;
          const capacity = { vcpu: 2, memoryInMb: checks > 1 && host.life.store.count() > 0 ? 0 : 4_096, diskInMb: 1 };
          return { capacity, used: capacity, diskIsMemory: false, notes: [] };
        },
      },
    });
    const slow = host.life.services.create(fullDraft, keyed);
    await turn();
    const quick = await host.life.services.create(fullDraft, keyed);
    letGo();
    expect((await slow).uid).toBe(quick.uid);
  });

  test('that was refused took nothing: its key is free', async () => {
    const host = quietHost();
    host.world.available = false;
    await expect(host.life.services.create(fullDraft, keyed)).rejects.toMatchObject({ kind: 'refused' });
    host.world.available = true;
    const taken = await host.create({ id: 'web', interfaces: [] });
    await expect(host.life.services.create(fullDraft, keyed)).rejects.toMatchObject({ kind: 'exists' });
    await host.delete(taken);
    await host.until(taken, 'gone');
    expect((await host.life.services.create(fullDraft, keyed)).uid).not.toBe(taken);
  });

  test('is new again when the key is forgotten, not before', async () => {
    const host = quietHost();
    const draft = { ...fullDraft, id: '', interfaces: [] };
    const { uid } = await host.life.services.create(draft, keyed);
    const at = host.clock.now();
    host.life.store.purge(0, at);
    expect((await host.life.services.create(draft, keyed)).uid).toBe(uid);
    host.life.store.purge(0, at + 1);
    expect((await host.life.services.create(draft, keyed)).uid).not.toBe(uid);
  });

  test.each(['has space', 'ünicode', 'x'.repeat(256), 'line\nend'])('refuses "%s" as a key', async (idempotencyKey) => {
    await expect(quietHost().life.services.create(fullDraft, { ...keyed, idempotencyKey })).rejects.toMatchObject({
      kind: 'invalid',
      violations: [{ field: 'idempotency_key' }],
    });
  });
});

describe('the canonical request', () => {
  test('is the same whatever the order of maps, and with what is as if left out', () => {
    const some = { ...fullDraft, labels: { a: '1', b: '2' }, volumes: [{ ...root, sizeInMb: 64 }] };
    const same = { ...some, labels: { b: '2', a: '1' }, namespace: '' };
    expect(canonical(same)).toBe(canonical(some));
    const { initrd: _, ...without } = some;
    expect(canonical(without)).not.toBe(canonical(some));
  });

  test('tells apart what differs in labels or metadata, also by an empty value', () => {
    const map = fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), fc.constantFrom('', '1'), {
      noNullPrototype: true,
    });
    const text = ([labels, metadata]: readonly [SpecDraft['labels'], SpecDraft['metadata']]): string =>
      canonical({ ...fullDraft, labels, metadata });
    const plain = (one: unknown): string => JSON.stringify(one, (_, v) => (Array.isArray(v) ? v : sorted(v)));
    fc.assert(
      fc.property(fc.tuple(map, map), fc.tuple(map, map), (one, other) => {
        expect(text(one) === text(other)).toBe(plain(one) === plain(other));
      }),
    );
  });
});

const root = { id: 'root', isRoot: true, isReadOnly: false, mountPoint: '', image: 'i' };
const sorted = (value: unknown): unknown =>
  typeof value === 'object' && value !== null ? Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)) : value;

describe('a create that is only planned', () => {
  test('tells every step in order, and stores, takes, pulls and wakes nothing', async () => {
    const host = new FakeHost();
    const { vm, plan } = await host.life.services.planCreate(fullDraft, { uniqueId: true });
    expect(plan).toEqual([
      'image: hold oci:/images:kernel for kernel, initrd',
      'image: hold oci:/images:root for volume',
      'image: hold oci:/images:data for volume',
      'directory: make directories for state and for sockets',
      'volume root: make a writable disk from oci:/images:root',
      'volume data: make a read-only disk from oci:/images:data',
      'lease eth0: reserve an address in DHCP',
      'guard eth0: let nothing through but what comes from its own MAC and address',
      'tap eth0: make the device on the host',
      'publish eth0: lead tcp port 8080 to port 80',
      'metadata: serve its metadata at 169.254.169.254',
      'vmm: start qemu with vcpu 1, memory 128 MiB',
      'image: oci:/images:kernel is read from this host, and unpacked unless it is in the cache',
      'image: oci:/images:root is read from this host, and unpacked unless it is in the cache',
      'image: oci:/images:data is read from this host, and unpacked unless it is in the cache',
    ]);
    expect(vm).toMatchObject({ uid: '', version: 0, spec: { id: 'web', namespace: 'default' } });
    for (let i = 0; i < 20; i++) await turn();
    expect(host.world.calls).toEqual([]);
    expect(host.life.store.cursor().seq).toBe(0);
    expect(host.life.store.list({ gone: true })).toEqual([]);
    for (const kind of ['mac', 'address', 'hostname', 'port', 'vmm-user', 'metadata-port'] as const)
      expect(host.allocated(kind)).toBe(0);
    // What is given by turns was not passed over either.
    expect(host.life.store.recall('last-address')).toBeUndefined();
    const real = await host.life.services.create(fullDraft, { uniqueId: true });
    expect(real.allocation).toMatchObject({ vmmUser: 70_000, interfaces: { eth0: { address: '10.77.0.2' } } });
  });

  test('is refused for all that a create is: the spec, the host, what others have', async () => {
    const host = quietHost();
    const plan = (changes: Partial<SpecDraft>) =>
      host.life.services.planCreate({ ...fullDraft, ...changes }, { uniqueId: true });
    await expect(plan({ vcpu: -1, memoryInMb: -1 })).rejects.toMatchObject({
      violations: [{ field: 'vcpu' }, { field: 'memory_in_mb' }],
    });
    await expect(plan({ memoryInMb: 1 << 20 })).rejects.toMatchObject({ violations: [{ field: 'memory_in_mb' }] });
    await host.life.services.create(fullDraft, { uniqueId: true });
    await expect(plan({})).rejects.toMatchObject({ kind: 'exists' });
    await expect(plan({ id: 'other' })).rejects.toMatchObject({
      violations: [{ field: 'interfaces[0].published_ports[0].host_port' }],
    });
    expect(host.life.store.count()).toBe(1);
  });

  test('with a key that has its answer says so; with a new one takes no key', async () => {
    const host = quietHost();
    await host.life.services.planCreate(fullDraft, keyed);
    const { uid } = await host.life.services.create({ ...fullDraft, vcpu: 2 }, keyed);
    const again = await host.life.services.planCreate({ ...fullDraft, vcpu: 2 }, keyed);
    expect(again).toMatchObject({ vm: { uid }, plan: [expect.stringContaining('has its answer already')] });
    await expect(host.life.services.planCreate(fullDraft, keyed)).rejects.toMatchObject({ kind: 'refused' });
  });

  test('without an id names none: the one to come is not known', async () => {
    const { vm } = await quietHost().life.services.planCreate({ ...fullDraft, id: '' }, { uniqueId: true });
    expect(vm.spec.id).toBe('');
  });
});
