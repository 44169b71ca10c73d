import { describe, expect, test } from 'vitest';
import { eventually, turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { fail, hang } from '../../test/support/fake-world.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';

const transient = (message = 'the registry is away'): Fault =>
  new Fault('tool', message, { reason: 'ImagePullFailed' });
const many = async (turns = 50): Promise<void> => {
  for (let i = 0; i < turns; i++) await turn();
};

describe('a create', () => {
  test('ends CREATED once the VMM says that the guest runs, with what was made in the status', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    const vm = await host.until(uid, 'CREATED');
    expect(vm.made).toMatchObject({
      provider: 'qemu',
      accelerator: 'tcg',
      kernel: { filename: 'boot/vmlinuz' },
      initrd: { filename: 'initrd' },
      volumes: { root: { path: `/state/vm/${uid}/disk0` }, data: { sizeInMb: 64 } },
      interfaces: { eth0: { device: `flabcd${uid.slice(-6).toLowerCase()}0` } },
    });
    expect(vm.conditions.map(({ type, status }) => `${type} ${status}`)).toEqual([
      'ImagesReady True',
      'DisksReady True',
      'NetworkReady True',
      'GuestConfigured True',
      'Running True',
    ]);
    expect(vm.retry).toBe(0);
    expect(host.life.progress.of(uid)).toBeUndefined();
    expect(host.clock.waiting).toBe(1); // the network's look
  });

  test('that fails for the moment is tried again, later each time, and what failed is told', async () => {
    const host = new FakeHost();
    host.world.next('image', fail(transient()), fail(transient()));
    const uid = await host.create();
    const first = await eventually('a retry is planned', () => host.vm(uid).retry === 1 && host.vm(uid));
    expect(first.state).toMatchObject({ is: 'PENDING', reason: 'ImagePullFailed', message: 'the registry is away' });
    const at = first.state.is === 'PENDING' ? (first.state.nextRetryAt ?? 0) - host.clock.now() : 0;
    expect(at).toBeGreaterThanOrEqual(500);
    expect(at).toBeLessThanOrEqual(1_000);

    await many();
    expect(host.world.calls.filter((call) => call === 'image')).toHaveLength(1);
    host.clock.advance(at - 1);
    await many();
    expect(host.world.calls.filter((call) => call === 'image')).toHaveLength(1);
    host.clock.advance(1);
    const second = await eventually('another retry is planned', () => host.vm(uid).retry === 2 && host.vm(uid));
    const later = second.state.is === 'PENDING' ? (second.state.nextRetryAt ?? 0) - host.clock.now() : 0;
    expect(later).toBeGreaterThanOrEqual(1_000);

    host.clock.advance(later);
    expect((await host.until(uid, 'CREATED')).retry).toBe(0);
  });

  test('keeps its back-off over a restart of the daemon', async () => {
    const host = new FakeHost();
    host.world.always('image', fail(transient()));
    const uid = await host.create();
    const { state } = await eventually('a retry is planned', () => host.vm(uid).retry === 1 && host.vm(uid));
    await host.restart();
    await many();
    expect(host.vm(uid)).toMatchObject({ retry: 1, state });
    expect(host.world.calls.filter((call) => call === 'image')).toHaveLength(1);
    host.world.always('image', undefined);
    host.clock.advance(1_000);
    await host.until(uid, 'CREATED');
  });

  test('that failed for good is FAILED at once, with the reason and the console', async () => {
    const host = new FakeHost();
    host.world.next('vmm', fail(new Fault('refused', 'the VMM refused it', { reason: 'ProviderRefused' })));
    const uid = await host.create();
    const { state } = await host.until(uid, 'FAILED');
    expect(state).toMatchObject({ reason: 'ProviderRefused', message: 'the VMM refused it', consoleTail: 'login:' });
    expect(host.world.vmmsOf(uid)).toEqual([]);
  });

  test('is given up after the attempts that are allowed, and says so', async () => {
    const host = new FakeHost({ maximumRetry: 3 });
    host.world.always('image', fail(transient()));
    const uid = await host.create();
    const vm = await host.untilLater(uid, 'FAILED');
    expect(vm.state).toMatchObject({
      reason: 'ImagePullFailed',
      message: 'the registry is away (given up after 3 attempts)',
    });
    expect(host.world.calls.filter((call) => call === 'image')).toHaveLength(3);
  });

  test('whose step throws what is no Fault is tried again and leaves others alone', async () => {
    const host = new FakeHost();
    host.world.next('volume', fail(new TypeError('undefined is not a function')));
    const bad = await host.create({ id: 'bad' });
    const good = await host.create({ id: 'good' });
    await host.until(good, 'CREATED');
    expect(host.vm(bad).state).toMatchObject({ is: 'PENDING', message: expect.stringContaining('Internal error') });
    expect(host.log.lines.some(({ level }) => level === 'error')).toBe(true);
    await host.untilLater(bad, 'CREATED');
  });

  test.each([
    ['two minutes', 120_000],
    ['ten years', 10 * 365 * 86_400_000],
  ])('waits no longer than its back-off when the host’s clock was set back by %s', async (_, by) => {
    const host = new FakeHost();
    host.world.next('image', fail(transient()));
    const uid = await host.create();
    await eventually('a retry is planned', () => host.vm(uid).retry === 1);
    host.clock.set(host.clock.now() - by);
    await host.restart();
    await host.until(uid, 'CREATED');
  });
});

describe('a delete', () => {
  test.each(['image', 'golden', 'volume', 'lease', 'guard', 'tap', 'vmm'])(
    'ends a create that hangs in %s and leaves nothing',
    async (call) => {
      const host = new FakeHost();
      host.world.next(call, hang);
      const uid = await host.create();
      await eventually('the step hangs', () => host.world.calls.includes(call));
      await many(5);
      await host.delete(uid);
      const vm = await host.until(uid, 'gone');
      expect(vm.retry).toBe(0);
      expect(host.world.thingsOf(uid)).toEqual([]);
      expect(host.ledgerOf(uid)).toEqual([]);
      expect(host.world.breaches).toEqual([]);
    },
  );

  test('undoes what was made: the VMM first, each before what it stands on, the directories last', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    host.world.calls.length = 0;
    await host.delete(uid);
    await host.until(uid, 'gone');
    const { calls } = host.world;
    expect(calls.slice(0, 2)).toEqual(['undo vmm', 'undo cgroup']);
    expect(calls.slice(2, -2).toSorted()).toEqual(
      ['undo guard', 'undo lease', 'undo metadata', 'undo publish', 'undo tap', 'undo volume'].toSorted(),
    );
    expect(calls.indexOf('undo tap')).toBeLessThan(calls.indexOf('undo guard'));
    expect(calls.slice(-2)).toEqual(['undo directory', 'undo directory']);
  });

  test('that is blocked says so, is tried for ever, and ends when it can', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    host.world.always('undo tap', fail(new Fault('tool', 'the tap is busy', { reason: 'NetworkFailed' })));
    await host.delete(uid);
    const blocked = await eventually('it is blocked', () => host.vm(uid).retry > 0 && host.vm(uid));
    expect(blocked.state).toMatchObject({ is: 'DELETING', reason: 'DeleteBlocked', message: 'the tap is busy' });
    for (let i = 0; i < 30; i++) {
      host.clock.advance(30_000);
      await many(10);
    }
    expect(host.vm(uid).retry).toBeGreaterThan(20);
    expect(host.vm(uid).state.is).toBe('DELETING');
    await host.restart();
    host.world.always('undo tap', undefined);
    host.clock.advance(30_000);
    await host.until(uid, 'gone');
    expect(host.world.thingsOf(uid)).toEqual([]);
  });

  test('ends a wait for the next attempt', async () => {
    const host = new FakeHost();
    host.world.always('image', fail(transient()));
    const uid = await host.create();
    await eventually('a retry is planned', () => host.vm(uid).retry === 1);
    await host.delete(uid);
    await host.until(uid, 'gone');
    expect(host.clock.waiting).toBe(0);
  });

  test('asked for again while an undo is under way does not begin it anew', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    host.world.next('undo vmm', async (signal) => {
      await Promise.race([released, hang(signal)]);
    });
    await host.delete(uid);
    await eventually('the VMM is being stopped', () => host.world.calls.includes('undo vmm'));
    for (let i = 0; i < 3; i++) {
      await host.delete(uid);
      await many(5);
    }
    expect(host.world.calls.filter((call) => call === 'undo vmm')).toHaveLength(1);
    release();
    await host.until(uid, 'gone');
  });

  test('accepted while a failed step is being written down is not blamed for it, nor made to wait', async () => {
    const { promise: tail, resolve: giveTail } = Promise.withResolvers<string>();
    let asked = false;
    const host = new FakeHost({
      consoleTail: () => {
        asked = true;
        return tail;
      },
    });
    host.world.next('image', fail(transient()));
    const uid = await host.create();
    await eventually('the console is read', () => asked);
    await host.delete(uid);
    giveTail('');
    const vm = await host.until(uid, 'gone');
    expect(vm.retry).toBe(0);
  });

  test('of one that never began leaves nothing', async () => {
    const host = new FakeHost();
    host.world.always('image', hang);
    const uid = await host.create();
    await host.delete(uid);
    await host.until(uid, 'gone');
    expect(host.ledgerOf(uid)).toEqual([]);
  });
});

describe('one of many', () => {
  test.each(['image', 'volume', 'tap', 'vmm'])('is deleted although others hang in %s', async (call) => {
    const host = new FakeHost();
    host.world.always(call, hang);
    const uids: Uid[] = [];
    for (let i = 0; i < 34; i++) uids.push(await host.create({ id: `vm${i}` }));
    await many();
    const [first, last] = [uids[0], uids.at(-1)];
    if (!first || !last) throw new Error('none');
    await host.delete(last);
    await host.until(last, 'gone');
    await host.delete(first);
    await host.until(first, 'gone');
  });

  test('is created although a registry holds up ten others', async () => {
    const host = new FakeHost();
    host.world.next('image', ...Array.from({ length: 10 }, () => hang));
    for (let i = 0; i < 10; i++) await host.create({ id: `slow${i}` });
    await host.until(await host.create({ id: 'quick' }), 'CREATED');
  });
});

describe('a run that ends', () => {
  test.each([
    ['GuestShutdown', 'STOPPED'],
    ['GuestPanic', 'FAILED'],
    ['VmmKilled', 'FAILED'],
  ] as const)('by %s is %s, with the console, and its process is let go', async (reason, state) => {
    const host = new FakeHost();
    const uid = await host.create({ restartPolicy: 'NEVER' });
    await host.until(uid, 'CREATED');
    host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason, message: 'so it ended' });
    const vm = await host.until(uid, state);
    expect(vm.state).toMatchObject({ reason, message: 'so it ended', consoleTail: 'login:' });
    await eventually('its process is struck out', () => !host.ledgerOf(uid).some(({ kind }) => kind === 'vmm'));
    await many();
    expect(host.vm(uid).state.is).toBe(state);
    await host.delete(uid);
    await host.until(uid, 'gone');
    expect(host.world.thingsOf(uid)).toEqual([]);
  });

  test('is told although its console cannot be read', async () => {
    const host = new FakeHost({ consoleTail: () => Promise.reject(new Fault('tool', 'Cannot read the console')) });
    const uid = await host.create({ restartPolicy: 'NEVER' });
    await host.until(uid, 'CREATED');
    host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestPanic', message: 'it panicked' });
    expect((await host.until(uid, 'FAILED')).state).toMatchObject({ reason: 'GuestPanic', consoleTail: '' });
  });

  test('whose end cannot be stored is not looked at again and again without a pause', async () => {
    const host = new FakeHost();
    const uid = await host.create({ restartPolicy: 'NEVER' });
    await host.until(uid, 'CREATED');
    host.world.calls.length = 0;
    host.database.sql.exec(
      "CREATE TRIGGER no_room BEFORE UPDATE ON vms BEGIN SELECT raise(FAIL, 'database or disk is full'); END",
    );
    host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestPanic', message: 'it panicked' });
    await many(200);
    expect(host.world.calls.length).toBeLessThan(5);
    host.database.sql.exec('DROP TRIGGER no_room');
    await host.untilLater(uid, 'FAILED');
  });

  test('that was started and could not be marked is watched all the same once it is', async () => {
    const host = new FakeHost();
    host.database.sql.exec(
      "CREATE TRIGGER no_room BEFORE UPDATE ON ledger WHEN NEW.kind = 'vmm' BEGIN SELECT raise(FAIL, 'database or disk is full'); END",
    );
    const uid = await host.create({ restartPolicy: 'NEVER' });
    await eventually('the VMM runs', () => host.world.vmmsOf(uid).length === 1);
    await eventually('it is tried again', () => host.vm(uid).retry === 1);
    host.database.sql.exec('DROP TRIGGER no_room');
    await host.untilLater(uid, 'CREATED');
    const [pid = -1] = host.world.vmmsOf(uid);
    host.world.kill(pid, { reason: 'GuestPanic', message: 'it panicked' });
    expect((await host.until(uid, 'FAILED')).state).toMatchObject({ reason: 'GuestPanic' });
  });

  test('while it is paused, held or silent is shown as that, never as running', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    const [pid = -1] = host.world.vmmsOf(uid);
    host.world.say(pid, 'unreachable');
    expect(host.vm(uid).state).toMatchObject({ is: 'PENDING', reason: 'VmmUnreachable' });
    host.world.say(pid, 'held');
    expect(host.vm(uid).state).toMatchObject({ is: 'PENDING', reason: 'StorageFull' });
    host.world.say(pid, 'paused');
    expect(host.vm(uid).state.is).toBe('PAUSED');
    host.world.say(pid, 'running');
    expect(host.vm(uid).state.is).toBe('CREATED');
    expect(host.world.vmmsOf(uid)).toEqual([pid]);
  });
});

describe('a daemon that begins anew', () => {
  test('takes over what runs and learns what ended meanwhile', async () => {
    const host = new FakeHost();
    const [alive, dead] = [
      await host.create({ id: 'alive' }),
      await host.create({ id: 'dead', restartPolicy: 'NEVER' }),
    ];
    await host.until(alive, 'CREATED');
    await host.until(dead, 'CREATED');
    const before = host.world.vmmsOf(alive);
    host.life.dead = true;
    host.world.kill(host.world.vmmsOf(dead)[0] ?? -1, { reason: 'VmmKilled', message: 'unseen' });
    await host.restart();
    expect(host.life.guests.all()).toEqual([alive]);
    expect((await host.until(dead, 'FAILED')).state).toMatchObject({ reason: 'VmmVanished', consoleTail: 'login:' });
    expect(host.vm(alive).state.is).toBe('CREATED');
    expect(host.world.vmmsOf(alive)).toEqual(before);
    host.world.kill(before[0] ?? -1, { reason: 'GuestShutdown', message: 'it powered off' });
    await host.until(alive, 'STOPPED');
  });

  test('tries again to take over what it could not at first', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    host.world.next('adopt', fail(new Fault('timeout', 'the VMM does not answer', { reason: 'Timeout' })));
    await host.restart();
    await many();
    expect(host.life.guests.all()).toEqual([]);
    host.clock.advance(30_000);
    await eventually('it is taken over', () => host.life.guests.of(uid));
    expect(host.vm(uid).state.is).toBe('CREATED');
  });

  test('takes the guest over that paused while nobody looked', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    const process = host.world.processes.get(host.world.vmmsOf(uid)[0] ?? -1);
    host.life.dead = true;
    if (process) process.guest = 'paused';
    await host.restart();
    await host.until(uid, 'PAUSED');
  });
});

test('one record that cannot be read stops no other', async () => {
  const host = new FakeHost();
  const [bad, good] = [await host.create({ id: 'bad' }), await host.create({ id: 'good' })];
  await host.until(bad, 'CREATED');
  await host.until(good, 'CREATED');
  host.database.sql.prepare("UPDATE vms SET record = '{}' WHERE uid = ?").run(bad);
  await host.restart();
  expect(host.life.guests.all()).toEqual([good]);
  await host.delete(good);
  await host.until(good, 'gone');
});

test('a VMM that took a stranger’s device for its tap is ended before anybody is told that it runs, and another is started', async () => {
  const host = new FakeHost();
  host.world.strays.push('/dev/tap3');
  const uid = await host.create();
  await host.untilLater(uid, 'CREATED');
  const told = host.log.lines.find(({ message }) => message === 'a step failed');
  expect(told?.fields).toMatchObject({ reason: 'NetworkFailed', state: 'PENDING' });
  expect(told?.fields).toMatchObject({ message: expect.stringContaining('took /dev/tap3, a macvtap of another') });
  expect(host.world.vmmsOf(uid)).toHaveLength(1);
  expect(host.world.calls.filter((call) => call === 'vmm')).toHaveLength(2);
  expect(host.world.breaches).toEqual([]);
});
