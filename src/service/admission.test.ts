import { expect, test } from 'vitest';
import { turn } from '../../test/support/fake-clock.ts';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { hang } from '../../test/support/fake-world.ts';
import { ownedBy } from '../../test/support/ledger-rows.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { createServices } from './create-services.ts';

const MIB = 2 ** 20;
const unlimited = { maxMemory: 'none', maxVcpu: 'none', maxDisk: 'none', maxMicrovms: 'none' } as const;
const limited = (limits: object): FakeHost => new FakeHost({ context: { limits: { ...unlimited, ...limits } } });
const create = (host: FakeHost, draft: object) =>
  host.life.services.create({ ...fullDraft, interfaces: [], ...draft }, { uniqueId: true });
/** A writable root that may grow so large. */
const rootOf = (sizeInMb: number) => [
  { id: 'root', isRoot: true, isReadOnly: false, mountPoint: '', image: 'oci:/images:root', sizeInMb },
];

test.each([
  ['memory', { maxMemory: 10 * 128 * MIB }, { memoryInMb: 128 }],
  ['vCPUs', { maxVcpu: 20 }, { vcpu: 2 }],
  ['microVMs', { maxMicrovms: 10 }, {}],
  ['disk', { maxDisk: 100 * MIB }, { volumes: rootOf(10) }],
])(
  'of 50 creates at once exactly the 10 are admitted that the limit of %s allows, and a delete frees',
  async (what, limits, draft) => {
    const host = limited(limits);
    host.world.always('image', hang);
    const answers = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => create(host, { ...draft, id: `v${i}` })),
    );
    const made = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.uid] : []));
    expect(made).toHaveLength(10);
    for (const answer of answers)
      if (answer.status === 'rejected') {
        expect(answer.reason).toBeInstanceOf(Fault);
        expect(answer.reason).toMatchObject({ kind: 'full', reason: 'Admission' });
        expect(answer.reason.message).toContain(what);
      }
    expect(host.life.store.count()).toBe(10);
    // What was refused left nothing taken: users, addresses, names.
    expect(host.allocated('vmm-user')).toBe(10);

    const [first] = made as [Uid];
    await host.delete(first);
    await host.until(first, 'gone');
    await expect(create(host, { ...draft, id: 'next' })).resolves.toMatchObject({ state: { is: 'PENDING' } });
    await expect(create(host, { ...draft, id: 'more' })).rejects.toMatchObject({ reason: 'Admission' });
  },
);

test('a name that is taken is told as that, also when there is no room', async () => {
  const host = limited({ maxMicrovms: 1 });
  await create(host, { id: 'a' });
  await expect(create(host, { id: 'a' })).rejects.toMatchObject({ kind: 'exists' });
});

test('memory is free again when a guest has ended and its VMM is proved gone; its disks stay promised', async () => {
  const host = limited({ maxMemory: 200 * MIB, maxDisk: 600 * MIB });
  const volumes = rootOf(600);
  const { uid } = await create(host, { id: 'a', memoryInMb: 128, volumes });
  await host.until(uid, 'CREATED');
  await expect(create(host, { id: 'b', memoryInMb: 128, volumes: [] })).rejects.toMatchObject({ reason: 'Admission' });
  expect(await host.life.services.info()).toMatchObject({
    promised: { memoryInMb: 128 },
    limits: { memoryInMb: 200, diskInMb: 600 },
    capacity: { memoryInMb: 4_096 },
  });

  host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestShutdown', message: 'off' });
  await host.until(uid, 'STOPPED');
  for (let i = 0; i < 200 && host.life.ledger.find(ownedBy(uid), 'vmm', ''); i++) await turn();
  // As large as its disk was made.
  expect(host.life.store.promised()).toMatchObject({ microvms: 1, memoryInMb: 0, diskInMb: 64 });
  await create(host, { id: 'c', memoryInMb: 128 });
  await expect(create(host, { id: 'd', memoryInMb: 64, volumes })).rejects.toThrow(/MiB of disk/);
});

test('what was stopped starts again only where there is room', async () => {
  const host = limited({ maxMemory: 200 * MIB });
  const { uid } = await create(host, { id: 'a', memoryInMb: 128 });
  await host.until(uid, 'CREATED');
  const power = (verb: 'start' | 'stop') =>
    host.life.services.power(verb, { uid, timeoutMs: 60_000 }, new AbortController().signal);
  await power('stop');
  for (let i = 0; i < 200 && host.life.ledger.find(ownedBy(uid), 'vmm', ''); i++) await turn();
  const other = (await create(host, { id: 'b', memoryInMb: 128 })).uid;
  await expect(power('start')).rejects.toMatchObject({
    reason: 'Admission',
    message: expect.stringContaining('it asks for 128 MiB of memory, 128 of at most 200 are promised'),
  });
  expect(host.vm(uid).state.is).toBe('STOPPED');
  await host.delete(other);
  await host.until(other, 'gone');
  expect((await power('start')).state.is).toBe('CREATED');
});

test('a daemon with a smaller limit keeps what runs and refuses what is new', async () => {
  const host = limited({ maxMemory: 1_000 * MIB });
  const { uid } = await create(host, { id: 'a', memoryInMb: 512 });
  await host.until(uid, 'CREATED');
  const smaller = { ...host.life.context, limits: { ...unlimited, maxMemory: 256 * MIB } };
  const services = createServices(smaller);
  await expect(
    services.create({ ...fullDraft, interfaces: [], id: 'b', memoryInMb: 64 }, { uniqueId: true }),
  ).rejects.toThrow(/512 of at most 256 are promised/);
  expect(host.vm(uid).state.is).toBe('CREATED');
});

test('where volumes lie in memory, what they may grow to is promised of that too, and the monitor has room for it', async () => {
  const capacity = { vcpu: 2, memoryInMb: 4_096, diskInMb: 10_000 };
  const inMemory = { capacity, used: capacity, diskIsMemory: true, notes: [] };
  const host = new FakeHost({
    context: { limits: { ...unlimited, maxMemory: 1_000 * MIB }, capacity: async () => inMemory },
  });
  await create(host, { id: 'a', memoryInMb: 128, volumes: rootOf(300) });
  const more = create(host, { id: 'b', memoryInMb: 300, volumes: rootOf(300) });
  await expect(more).rejects.toMatchObject({
    message: expect.stringContaining('asks for 600 MiB of memory, 428 of at most'),
  });
  await create(host, {
    id: 'c',
    memoryInMb: 128,
    volumes: rootOf(300).map((volume) => ({ ...volume, isReadOnly: true })),
  });
});
