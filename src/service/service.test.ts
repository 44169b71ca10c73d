import { describe, expect, test } from 'vitest';
import { eventually, turn } from '../../test/support/fake-clock.ts';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { fail, hang } from '../../test/support/fake-world.ts';
import { Fault } from '../domain/fault.ts';
import { parseCidr } from '../domain/ipv4.ts';
import type { Uid } from '../domain/microvm.ts';
import { othersUsers } from '../domain/user-ranges.ts';
import type { Files } from '../ports/host.ts';
import type { Until, WatchedEvent, WatchRequest } from './services.ts';

const never = new AbortController().signal;
const many = async (turns = 20): Promise<void> => {
  for (let i = 0; i < turns; i++) await turn();
};
/** A host whose microVMs stay as they were made: nothing is done for them. */
function quietHost(options: ConstructorParameters<typeof FakeHost>[0] = {}): FakeHost {
  const host = new FakeHost(options);
  host.world.always('image', hang);
  return host;
}

test('a guest that is held while its record cannot be written is not shown as running', async () => {
  const host = new FakeHost();
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  host.database.sql.exec(
    "CREATE TRIGGER no_room BEFORE UPDATE ON vms BEGIN SELECT raise(FAIL, 'database or disk is full'); END",
  );
  host.world.say(host.world.vmmsOf(uid)[0] ?? -1, 'held');
  expect(host.vm(uid).state.is).toBe('CREATED');
  expect((await host.life.services.get({ uid }, { showDeleted: false })).state).toMatchObject({
    is: 'PENDING',
    reason: 'StorageFull',
  });
});

describe('create', () => {
  test('answers at once with what it gave: uid, user, MAC and address', async () => {
    const host = quietHost();
    const vm = await host.life.services.create(fullDraft, { uniqueId: true });
    expect(vm).toMatchObject({
      version: 1,
      generation: 1,
      state: { is: 'PENDING', reason: 'Preparing' },
      allocation: { vmmUser: 70_000, interfaces: { eth0: { address: '10.77.0.2' } } },
      createdAt: host.clock.now(),
    });
    expect(vm.uid).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(vm.allocation.interfaces.eth0?.mac).toMatch(/^52:54:|^52:/);
    expect(host.vm(vm.uid)).toMatchObject({ uid: vm.uid });
  });

  test('gives each its own, and what was given back rests', async () => {
    const host = quietHost();
    const first = await host.create({ id: 'a' });
    await host.create({ id: 'b' });
    await host.delete(first);
    await host.until(first, 'gone');
    const third = host.vm(await host.create({ id: 'c' }));
    expect(third.allocation).toMatchObject({ vmmUser: 70_002, interfaces: { eth0: { address: '10.77.0.4' } } });
  });

  test('without an id makes one that can be used', async () => {
    const host = quietHost();
    const uid = await host.create({ id: '' });
    expect(host.vm(uid).spec.id).toBe(uid.toLowerCase());
    expect((await host.life.services.get({ id: uid.toLowerCase() }, { showDeleted: false })).uid).toBe(uid);
  });

  test('takes no uid whose interfaces would have the names of another microVM', async () => {
    const [first, alike, other] = [
      '01JDGZ00000000000000ABCDEF',
      '01JDH000000000000000ABCDEF',
      '01JDH000000000000000ABCDEG',
    ];
    const uids = [first, alike, other];
    const host = quietHost({ context: { newUid: () => (uids.shift() ?? alike) as Uid } });
    expect(await host.create({ id: 'a' })).toBe(first);
    expect(await host.create({ id: 'b' })).toBe(other);
    // No more than those two are to be had.
    await expect(host.create({ id: 'c' })).rejects.toMatchObject({ kind: 'full' });
    await host.delete(first as Uid);
    await host.until(first as Uid, 'gone');
    expect(await host.create({ id: 'c' })).toBe(alike);
  });

  test('takes users of its range alone, also where the range was another before', async () => {
    const ranges = [
      { first: 700_000, last: 700_009 },
      { first: 800_000, last: 800_002 },
      { first: 100_000, last: 100_009 },
      { first: 900_000, last: 900_000 },
    ];
    const host = quietHost();
    for (const [i, range] of ranges.entries()) {
      Object.assign(host.life.context, { vmmUsers: range });
      const { vmmUser } = host.vm(await host.create({ id: `vm${i}` })).allocation;
      expect(vmmUser).toBeGreaterThanOrEqual(range.first);
      expect(vmmUser).toBeLessThanOrEqual(range.last);
    }
  });

  test('says when the users, or the addresses, are used up, and stores nothing of it', async () => {
    const users = quietHost({ context: { vmmUsers: { first: 70_000, last: 70_000 } } });
    await users.create({ id: 'a' });
    await expect(users.create({ id: 'b' })).rejects.toMatchObject({ kind: 'full' });

    const shared = quietHost({
      context: {
        vmmUsers: { first: 70_000, last: 70_009 },
        othersUsers: async () => othersUsers('ann:x:70005:1::/:/bin/sh', 'jim:69990:15\nsue:70007:9\n'),
      },
    });
    expect(shared.vm(await shared.create({ id: 'a' })).allocation.vmmUser).toBe(70_006);
    await expect(shared.create({ id: 'b' })).rejects.toMatchObject({
      kind: 'full',
      message: expect.stringContaining('the containers of jim (69990-70004)'),
    });

    const host = quietHost({ context: { network: parseCidr('10.9.0.0/29') } });
    for (let i = 0; i < 5; i++) await host.create({ id: `vm${i}` });
    const before = host.life.store.cursor();
    await expect(host.create({ id: 'more' })).rejects.toMatchObject({ kind: 'full', reason: 'NetworkFailed' });
    expect(host.life.store.cursor()).toEqual(before);
    expect(host.allocated('vmm-user')).toBe(5);
    await host.create({ id: 'more', interfaces: [] });
  });

  test('refuses a taken id and a taken MAC, and takes the id when the drop-in surface asks', async () => {
    const host = quietHost();
    const interfaces = [{ name: 'eth0', type: 'TAP', allowMetadata: false, mac: '52:54:00:0:0:1', publishedPorts: [] }];
    const mac = interfaces.map((nic) => ({ ...nic, mac: '52:54:00:00:00:01' }));
    await host.create({ interfaces: mac });
    await expect(host.create()).rejects.toMatchObject({ kind: 'exists' });
    await expect(host.create({ id: 'other', interfaces: mac })).rejects.toMatchObject({
      kind: 'invalid',
      violations: [{ field: 'interfaces[0].guest_mac' }],
    });
    await host.life.services.create({ ...fullDraft, interfaces: [] }, { uniqueId: false });
    expect(host.life.store.count()).toBe(2);
  });

  test('tells all that only the host knows to be wrong at once, by the index that was sent', async () => {
    const host = quietHost({ context: { network: undefined } });
    host.world.badImages.set('oci:/images:data', 'is outside every --image-root');
    host.world.violations = [{ field: 'vcpu', description: 'is 1000; takes 1 to 255' }];
    const failure = await host.create({ memoryInMb: 1 << 20 }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Fault);
    expect(failure instanceof Fault && failure.violations.map(({ field }) => field)).toEqual([
      'vcpu',
      'memory_in_mb',
      // The data volume is the first in the draft, and the second disk.
      'volumes[0].source.container_source',
      'interfaces[0].type',
    ]);
    expect(host.life.store.count()).toBe(0);
  });

  test('without a VMM that can be used is refused, with the remedy', async () => {
    const host = quietHost();
    host.world.available = false;
    await expect(host.create()).rejects.toMatchObject({
      kind: 'refused',
      reason: 'ProviderUnavailable',
      message: expect.stringContaining('install it'),
    });
  });
});

describe('a name', () => {
  test('of several is ambiguous and tells their uids', async () => {
    const host = quietHost();
    const uids: Uid[] = [];
    for (let i = 0; i < 2; i++)
      uids.push((await host.life.services.create({ ...fullDraft, interfaces: [] }, { uniqueId: false })).uid);
    const target = { id: 'web', namespace: 'default' };
    const ambiguous = { kind: 'refused', message: expect.stringContaining(uids.join(', ')) };
    await expect(host.life.services.get(target, { showDeleted: false })).rejects.toMatchObject(ambiguous);
    await expect(host.life.services.delete(target)).rejects.toMatchObject(ambiguous);
    const [first] = uids;
    if (first) await host.delete(first);
    if (first) await host.until(first, 'gone');
    expect((await host.life.services.get(target, { showDeleted: true })).uid).toBe(uids[1]);
  });

  test('that is none is not found, in one line, whatever it holds', async () => {
    const host = quietHost();
    for (const target of [{ uid: 'x\n\u001b[2J' }, { id: "'; DROP TABLE vms" }, { id: 'a', namespace: 'b' }])
      await expect(host.life.services.get(target, { showDeleted: true })).rejects.toMatchObject({
        kind: 'not_found',
        message: expect.stringMatching(/^microVM [^\p{Cc}]* not found$/u),
      });
    await expect(host.life.services.get({}, { showDeleted: false })).rejects.toMatchObject({ kind: 'invalid' });
  });

  test('of one that is gone is found only when asked for', async () => {
    const host = quietHost();
    const uid = await host.create();
    await host.delete(uid);
    await host.until(uid, 'gone');
    await expect(host.life.services.get({ uid }, { showDeleted: false })).rejects.toMatchObject({ kind: 'not_found' });
    await expect(host.delete(uid)).rejects.toMatchObject({ kind: 'not_found' });
    expect(await host.life.services.get({ id: 'web' }, { showDeleted: true })).toMatchObject({ uid });
  });
});

describe('list', () => {
  const all = { namespace: '', labelSelector: '', pageSize: 0, pageToken: '', showDeleted: false };

  test('goes page by page through all, each once, while some go and others come', async () => {
    const host = quietHost();
    const uids: Uid[] = [];
    for (let i = 0; i < 7; i++) uids.push(await host.create({ id: `vm${i}` }));
    const seen: string[] = [];
    let pageToken = '';
    do {
      const page = await host.life.services.list({ ...all, pageSize: 3, pageToken });
      expect(page.vms.length).toBeLessThanOrEqual(3);
      seen.push(...page.vms.map(({ uid }) => uid));
      pageToken = page.nextPageToken;
      if (seen.length === 3 && uids[0]) {
        await host.delete(uids[0]);
        await host.until(uids[0], 'gone');
      }
    } while (pageToken !== '');
    expect(seen).toEqual(uids);
  });

  test('has no further page when the last one is full', async () => {
    const host = quietHost();
    for (let i = 0; i < 2; i++) await host.create({ id: `vm${i}` });
    expect(await host.life.services.list({ ...all, pageSize: 2 })).toMatchObject({ nextPageToken: '' });
    expect((await host.life.services.list({ ...all, pageSize: 1 })).nextPageToken).not.toBe('');
  });

  test.each([
    ['page_size', { pageSize: -1 }],
    ['page_token', { pageToken: 'x' }],
    ['label_selector', { labelSelector: 'a in' }],
  ])('refuses a bad %s by name', async (field, changes) => {
    await expect(quietHost().life.services.list({ ...all, ...changes })).rejects.toMatchObject({
      kind: 'invalid',
      violations: [{ field }],
    });
  });

  test('never shows as running what this daemon does not watch', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    host.world.next('adopt', hang);
    void host.restart();
    await many();
    const { vms } = await host.life.services.list(all);
    expect(vms[0]?.state).toMatchObject({ is: 'PENDING', reason: 'VmmUnreachable' });
  });
});

describe('info', () => {
  test('counts what runs or may run as promised', async () => {
    const host = new FakeHost();
    const [stopped, runs] = [await host.create({ id: 'a' }), await host.create({ id: 'b' })];
    await host.until(stopped, 'CREATED');
    await host.until(runs, 'CREATED');
    host.world.kill(host.world.vmmsOf(stopped)[0] ?? -1, { reason: 'GuestShutdown', message: '' });
    await host.until(stopped, 'STOPPED');
    await eventually('its VMM is gone', () => !host.ledgerOf(stopped).some(({ kind }) => kind === 'vmm'));
    expect(await host.life.services.info()).toMatchObject({
      microvms: 2,
      promised: { vcpu: 1, memoryInMb: 128, diskInMb: 128 },
      managedNetwork: '10.77.0.0/24',
      defaultProvider: 'qemu',
    });
  });
});

describe('wait', () => {
  const waitFor = (host: FakeHost, uid: Uid, until: Until, timeoutMs = 60_000, signal = never) =>
    host.life.services.wait({ uid, until, timeoutMs }, signal);

  test('for CREATED, an address, STOPPED and GONE answers when it is so', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    expect((await waitFor(host, uid, 'CREATED')).state.is).toBe('CREATED');
    const address = waitFor(host, uid, 'ADDRESS');
    await many();
    const { mac = '', address: given = '' } = host.vm(uid).allocation.interfaces.eth0 ?? {};
    host.world.leases.push({ mac, address: given, expiresAt: 0 });
    for (const changed of host.world.leaseListeners) changed();
    expect((await address).addresses).toEqual({ eth0: [given] });
    const stopped = waitFor(host, uid, 'STOPPED');
    await many();
    host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestShutdown', message: 'off' });
    expect((await stopped).state.is).toBe('STOPPED');
    const gone = waitFor(host, uid, 'GONE');
    await many();
    await host.delete(uid);
    expect((await gone).goneAt).toBe(host.clock.now());
    expect((await waitFor(host, uid, 'GONE')).goneAt).toBe(host.clock.now());
  });

  test('for CONFIGURED answers when the guest has said so, is refused when it could not', async () => {
    const texts = ['', ''];
    const files: Files = {
      ...fakeFiles({}),
      stat: async () => ({ kind: 'file', sizeBytes: texts.join('').length, diskBytes: 0, mode: 0o600 }),
      read: async () => Buffer.from(texts.join('')),
      watch: () => () => undefined,
    };
    const host = new FakeHost({ context: { files } });
    expect((await waitFor(host, await host.create(), 'CONFIGURED')).state.is).toBe('CREATED'); // nothing is asked of it
    for (const [state, id] of [
      ['dhcp', 'a'],
      ['failed', 'b'],
    ]) {
      const [nic] = fullDraft.interfaces;
      texts[0] = `flintlock-guest: configured nics=lan0:${state} mounts=none\n`;
      const uid = await host.create({
        id: id ?? '',
        interfaces: nic ? [{ ...nic, name: 'lan0', publishedPorts: [] }] : [],
      });
      const waiting = waitFor(host, uid, 'CONFIGURED');
      if (state === 'dhcp')
        expect((await waiting).conditions).toContainEqual(
          expect.objectContaining({ status: 'True', reason: 'Configured' }),
        );
      else await expect(waiting).rejects.toThrow('could not apply lan0');
    }
  });

  test('for CREATED answers once the guest was taken over by a daemon that began anew', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    host.world.next('adopt', () => held);
    const restarted = host.restart();
    await many();
    let isAnswered = false;
    const waited = waitFor(host, uid, 'CREATED').then(() => {
      isAnswered = true;
    });
    await many();
    expect(isAnswered).toBe(false);
    letGo();
    await restarted;
    await waited;
  });

  test.each<[Until, 'FAILED' | 'STOPPED' | 'DELETING']>([
    ['CREATED', 'FAILED'],
    ['STOPPED', 'FAILED'],
    ['ADDRESS', 'FAILED'],
    ['CREATED', 'STOPPED'],
    ['ADDRESS', 'STOPPED'],
    ['CREATED', 'DELETING'],
    ['STOPPED', 'DELETING'],
    ['ADDRESS', 'DELETING'],
    ['CONFIGURED', 'FAILED'],
    ['CONFIGURED', 'STOPPED'],
    ['CONFIGURED', 'DELETING'],
  ])('for %s is refused once it is %s, with the reason', async (until, state) => {
    const host = new FakeHost();
    host.world.always('undo vmm', fail(new Fault('tool', 'busy')));
    const [nic] = fullDraft.interfaces;
    const uid = await host.create({ interfaces: nic ? [{ ...nic, name: 'lan0' }] : [], restartPolicy: 'NEVER' }); // the guest must see to it
    await host.until(uid, 'CREATED');
    if (state === 'DELETING') await host.delete(uid);
    else
      host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, {
        reason: state === 'STOPPED' ? 'GuestShutdown' : 'GuestPanic',
        message: 'so it ended',
      });
    await host.until(uid, state);
    await expect(waitFor(host, uid, until)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining(`will not ${until === 'ADDRESS' ? '(be|have)' : 'be'}`.slice(0, 8)),
    });
  });

  test('for an address is refused where there is no interface', async () => {
    const host = quietHost();
    const uid = await host.create({ interfaces: [] });
    await expect(waitFor(host, uid, 'ADDRESS')).rejects.toMatchObject({ kind: 'refused' });
  });

  test('ends by its time with what is so, by its signal with the reason, and hears nothing more', async () => {
    const host = quietHost();
    const uid = await host.create();
    await expect(waitFor(host, uid, 'CREATED', 5)).rejects.toMatchObject({
      kind: 'timeout',
      message: expect.stringMatching(/is not CREATED after 0.005 s: PENDING \(Preparing\)/),
    });
    const abort = new AbortController();
    const waited = waitFor(host, uid, 'CREATED', 60_000, abort.signal);
    abort.abort(new Error('the caller left'));
    await expect(waited).rejects.toThrow('the caller left');
  });

  test('of what never was is not found', async () => {
    await expect(waitFor(quietHost(), 'x' as Uid, 'GONE')).rejects.toMatchObject({ kind: 'not_found' });
  });
});

describe('watch', () => {
  const all: WatchRequest = { namespace: '', labelSelector: '', cursor: '' };

  /** Reads in the background; what came so far can be looked at. */
  function follow(host: FakeHost, request: Partial<WatchRequest> = {}) {
    const abort = new AbortController();
    const events: WatchedEvent[] = [];
    const ended = (async () => {
      for await (const event of host.life.services.watch({ ...all, ...request }, abort.signal)) events.push(event);
    })();
    ended.catch(() => undefined);
    const told = (): string[] =>
      events.filter(({ type }) => type !== 'BOOKMARK').map(({ type, vm }) => `${type} ${vm?.spec.id} ${vm?.state.is}`);
    return { events, told, ended, stop: () => abort.abort(new Error('enough')) };
  }

  test('begins with all there is and goes on with every change, in the order of the commits', async () => {
    const host = new FakeHost();
    const first = await host.create({ id: 'a' });
    await host.until(first, 'CREATED');
    const { told, stop, ended, events } = follow(host);
    await eventually('the first is told', () => told().length === 1);
    expect(told()).toEqual(['ADDED a CREATED']);
    const second = await host.create({ id: 'b' });
    await host.until(second, 'CREATED');
    await host.delete(first);
    await host.until(first, 'gone');
    await eventually('the end is told', () => told().at(-1) === 'DELETED a DELETING');
    expect(told().filter((text) => text.startsWith('ADDED'))).toEqual(['ADDED a CREATED', 'ADDED b PENDING']);
    const seqs = events.slice(1).map(({ cursor }) => Number(cursor.split('.')[1]));
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    const versions = events.filter(({ vm }) => vm?.uid === second).map(({ vm }) => vm?.version ?? 0);
    expect(versions).toEqual(Array.from({ length: versions.length }, (_, i) => i + 1));
    stop();
    await expect(ended).rejects.toThrow('enough');
  });

  test('resumed by a cursor tells what came after it, and nothing twice', async () => {
    const host = quietHost();
    await host.create({ id: 'a' });
    const { events, stop } = follow(host);
    await host.create({ id: 'b' });
    await eventually('both are told', () => events.some(({ vm }) => vm?.spec.id === 'b'));
    stop();
    const cursor = events.at(-1)?.cursor ?? '';
    await host.create({ id: 'c' });
    const resumed = follow(host, { cursor });
    await eventually('the rest is told', () => resumed.told().length > 0);
    await many();
    expect(resumed.told()).toEqual(['ADDED c PENDING']);
    resumed.stop();
  });

  test('keeps to a namespace and a selector, and moves the cursor past the others', async () => {
    const host = quietHost();
    const { told, events, stop } = follow(host, { namespace: 'mine', labelSelector: 'app=web' });
    await host.create({ id: 'a', namespace: 'mine' });
    await host.create({ id: 'b', namespace: 'mine', labels: {} });
    await host.create({ id: 'c', namespace: 'other' });
    const newest = (): string => `epoch1.${host.life.store.cursor().seq}`;
    await eventually('the cursor is at the newest', () => events.at(-1)?.cursor === newest());
    expect(told()).toEqual(['ADDED a PENDING']);
    expect(events.at(-1)?.type).toBe('BOOKMARK');
    stop();
  });

  test('from a cursor that is too old, of another database, or of the future says to list again', async () => {
    const host = quietHost();
    await host.create({ id: 'a' });
    await host.create({ id: 'b' });
    host.life.store.purge(0, host.clock.now() + 1);
    await host.create({ id: 'c' });
    for (const cursor of ['epoch1.1', 'other.3', 'epoch1.99'])
      await expect(follow(host, { cursor }).ended).rejects.toMatchObject({ kind: 'expired' });
    await expect(follow(host, { cursor: 'nonsense' }).ended).rejects.toMatchObject({ kind: 'invalid' });
    const right = follow(host, { cursor: 'epoch1.2' });
    await eventually('the third is told', () => right.told().length === 1);
    right.stop();
  });

  test('by a selector tells who comes to it and who leaves it by other labels', async () => {
    const host = quietHost();
    const uid = await host.create({ id: 'a', labels: { app: 'db' } });
    const { told, stop } = follow(host, { labelSelector: 'app=web' });
    const label = (app: string) =>
      host.life.services.update({
        target: { uid },
        draft: { ...fullDraft, id: '', labels: { app } },
        mask: ['labels'],
        expectedGeneration: 0,
      });
    for (const app of ['web', 'web2', 'web']) await label(app);
    host.life.store.update(uid, (vm) => ({ ...vm, retry: 1 }));
    await eventually('all is told', () => told().length === 4);
    expect(told()).toEqual(['ADDED a PENDING', 'DELETED a PENDING', 'ADDED a PENDING', 'MODIFIED a PENDING']);
    stop();
  });

  test('lists page by page while changes go on, and tells nothing again that a page told', async () => {
    const host = quietHost();
    const uids: Uid[] = [];
    // A page ends by its bytes.
    const metadata = { x: Buffer.alloc(20_000).toString('base64') };
    for (let i = 0; i < 6; i++) uids.push(await host.create({ id: `vm${i}`, metadata }));
    const [first, second, ...others] = uids;
    const last = others.at(-1);
    if (!first || !second || !last) throw new Error('there are six');
    const abort = new AbortController();
    const reader = host.life.services.watch(all, abort.signal)[Symbol.asyncIterator]();
    const next = async (): Promise<string> => {
      const { value } = (await reader.next()) as { value: WatchedEvent };
      return `${value.type} ${value.vm?.spec.id ?? ''} ${value.vm?.version ?? ''} ${value.cursor === '' ? '' : 'cursor'}`;
    };
    expect(await next()).toBe('ADDED vm0 1 ');
    for (const uid of [first, last]) host.life.store.update(uid, (vm) => ({ ...vm, retry: 1 }));
    host.life.store.gone(second); // it is on the page that is read already
    const told: string[] = [];
    do told.push(await next());
    while (!told.at(-1)?.endsWith('cursor'));
    await host.create({ id: 'new' });
    do told.push(await next());
    while (!told.at(-1)?.includes('new'));
    expect(told).toEqual([
      ...['ADDED vm1 1 ', 'ADDED vm2 1 ', 'ADDED vm3 1 ', 'ADDED vm4 1 ', 'ADDED vm5 2 '],
      'BOOKMARK   ',
      ...['MODIFIED vm0 2 ', 'BOOKMARK   '], // what the events between did a page told already
      'DELETED vm1 2 cursor',
      'ADDED new 1 cursor',
    ]);
    abort.abort(new Error('enough'));
  });

  test('whose reader is slower than what is kept says so, and loses nothing unseen', async () => {
    const host = quietHost();
    const abort = new AbortController();
    const reader = host.life.services.watch(all, abort.signal)[Symbol.asyncIterator]();
    await reader.next();
    for (let i = 0; i < 3; i++) await host.create({ id: `vm${i}` });
    host.life.store.purge(0, host.clock.now() + 1);
    await expect(reader.next()).rejects.toMatchObject({ kind: 'expired' });
  });

  test('tells when a guest that nobody watched was taken over', async () => {
    const host = new FakeHost();
    const uid = await host.create({ id: 'a' });
    await host.until(uid, 'CREATED');
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    host.world.next('adopt', () => held);
    const restarted = host.restart();
    const { told, stop } = follow(host);
    await eventually('it is told as unknown', () => told().length === 1);
    expect(told()).toEqual(['ADDED a PENDING']);
    letGo();
    await restarted;
    await eventually('it is told as running', () => told().length === 2);
    expect(told()[1]).toBe('MODIFIED a CREATED');
    await many();
    expect(told()).toHaveLength(2);
    stop();
  });
});
