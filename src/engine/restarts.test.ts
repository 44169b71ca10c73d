import { describe, expect, test } from 'vitest';
import { eventually, turn } from '../../test/support/fake-clock.ts';
import { type CrashPoint, FakeHost } from '../../test/support/fake-host.ts';
import { fail, hang } from '../../test/support/fake-world.ts';
import { Fault } from '../domain/fault.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import type { Reason } from '../domain/reason.ts';
import { STEADY_MS } from '../domain/restart.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const many = async (turns = 50): Promise<void> => {
  for (let i = 0; i < turns; i++) await turn();
};

async function running(host: FakeHost, changes: Parameters<FakeHost['create']>[0] = {}): Promise<Uid> {
  const uid = await host.create(changes);
  await host.until(uid, 'CREATED');
  return uid;
}

/** The guest's run ends, and that is told. */
async function end(host: FakeHost, uid: Uid, reason: Reason = 'VmmKilled'): Promise<MicroVm> {
  const { version } = host.vm(uid);
  host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason, message: 'so it ended' });
  return await eventually('its end is told', () => {
    const vm = host.vm(uid);
    return vm.version > version && vm.state.is !== 'CREATED' && vm;
  });
}
const retryAt = ({ state }: MicroVm): number => (state.is === 'PENDING' ? (state.nextRetryAt ?? 0) : 0);

describe('restart_policy', () => {
  test.each([
    ['ON_FAILURE', 'VmmKilled', 'PENDING'],
    ['ON_FAILURE', 'GuestPanic', 'PENDING'],
    ['ON_FAILURE', 'GuestShutdown', 'STOPPED'],
    ['ALWAYS', 'VmmKilled', 'PENDING'],
    ['ALWAYS', 'GuestShutdown', 'PENDING'],
    ['NEVER', 'VmmKilled', 'FAILED'],
    ['NEVER', 'GuestShutdown', 'STOPPED'],
  ] as const)('%s after %s: %s', async (restartPolicy, reason, state) => {
    const host = new FakeHost();
    const uid = await running(host, { restartPolicy });
    const [pid] = host.world.vmmsOf(uid);
    expect((await end(host, uid, reason)).state).toMatchObject({ is: state, reason });
    await eventually('its process is let go', () => !host.ledgerOf(uid).some(({ kind }) => kind === 'vmm'));
    if (state === 'PENDING') {
      host.clock.advance(1_000);
      await host.until(uid, 'CREATED');
      expect(host.world.vmmsOf(uid)).not.toEqual([pid]);
    } else {
      host.clock.advance(STEADY_MS);
      await many();
      expect(host.vm(uid).state.is).toBe(state);
      expect(host.world.vmmsOf(uid)).toEqual([]);
    }
    await host.delete(uid);
    await host.until(uid, 'gone');
    expect(host.world.thingsOf(uid)).toEqual([]);
    expect(host.world.breaches).toEqual([]);
  });
});

describe('a guest that resets its machine, at which its VMM ends', () => {
  const RESET = { reason: 'GuestReset', message: 'It reset itself', isReset: true } as const;
  const resets = (host: FakeHost, uid: Uid): void => host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, RESET);
  const again = async (host: FakeHost, uid: Uid, pid: number | undefined): Promise<MicroVm> =>
    eventually('it runs again', () => {
      const [now] = host.world.vmmsOf(uid);
      const vm = host.vm(uid);
      return now !== pid && now !== undefined && vm.state.reason === 'Running' && vm;
    });

  test.each(['ON_FAILURE', 'NEVER'] as const)(
    'is CREATED all the while and is started again at once, which is no death (%s)',
    async (restartPolicy) => {
      const host = new FakeHost();
      const uid = await running(host, { restartPolicy });
      const [pid] = host.world.vmmsOf(uid);
      const before = host.vm(uid);
      resets(host, uid);
      const told = await eventually('it is told', () => host.vm(uid).state.reason === 'GuestReset' && host.vm(uid));
      expect(told.state).toMatchObject({ is: 'CREATED', message: 'It reset itself. It is started again' });
      const after = await again(host, uid, pid);
      expect(after).toMatchObject({ retry: 0, state: { is: 'CREATED', message: 'The guest runs' }, made: before.made });
      expect(after.lastEnd).toBeUndefined();
      expect(after.runningSince).toBe(before.runningSince);
      expect(await host.audit()).toMatchObject(CLEAN);
      expect(host.world.breaches).toEqual([]);
    },
  );

  test('is PENDING when it does not run again within two seconds', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const slow = Promise.withResolvers<void>();
    host.world.always('vmm', () => slow.promise);
    resets(host, uid);
    await eventually('it is told', () => host.vm(uid).state.reason === 'GuestReset');
    host.clock.advance(1_999);
    await many();
    expect(host.vm(uid).state).toMatchObject({ is: 'CREATED', reason: 'GuestReset' });
    host.clock.advance(1);
    expect((await host.until(uid, 'PENDING')).state).toMatchObject({ reason: 'Starting' });
    slow.resolve();
    expect((await host.until(uid, 'CREATED')).state.reason).toBe('Running');
    expect(host.vm(uid).retry).toBe(0);
  });

  test('and cannot be started is PENDING with why', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.always('vmm', fail(new Fault('refused', 'no KVM', { reason: 'ProviderUnavailable' })));
    resets(host, uid);
    expect((await host.until(uid, 'PENDING')).state).toMatchObject({
      reason: 'ProviderUnavailable',
      message: 'no KVM',
    });
  });

  test('more than five times in a minute is in a crash loop, until it has run for a while', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    for (let i = 0; i < 5; i++) {
      const [pid] = host.world.vmmsOf(uid);
      resets(host, uid);
      await again(host, uid, pid);
    }
    resets(host, uid);
    const looping = await host.until(uid, 'PENDING');
    expect(looping).toMatchObject({ retry: 1, lastEnd: { reason: 'CrashLoop' } });
    expect(looping.state).toMatchObject({ reason: 'CrashLoop', message: expect.stringContaining('6 times') });
    expect(retryAt(looping)).toBeGreaterThan(host.clock.now());
    await host.untilLater(uid, 'CREATED');
    host.clock.advance(70_000);
    resets(host, uid);
    expect(await host.until(uid, 'PENDING')).toMatchObject({ retry: 2, state: { reason: 'CrashLoop' } });
    await host.untilLater(uid, 'CREATED');
    host.clock.advance(STEADY_MS);
    await eventually('it is steady', () => host.vm(uid).retry === 0);
    const [pid] = host.world.vmmsOf(uid);
    resets(host, uid);
    expect(await again(host, uid, pid)).toMatchObject({ retry: 0 });
  });

  test('seldom is in none', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    for (let i = 0; i < 12; i++) {
      const [pid] = host.world.vmmsOf(uid);
      resets(host, uid);
      await again(host, uid, pid);
      host.clock.advance(13_000);
    }
    expect(host.vm(uid).retry).toBe(0);
  });

  test('and is to stop is STOPPED; one whose daemon dies meanwhile runs again', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.always('vmm', hang);
    resets(host, uid);
    await eventually('it is told', () => host.vm(uid).state.reason === 'GuestReset');
    host.world.always('vmm', undefined);
    await host.restart();
    await eventually('it runs', () => host.vm(uid).state.reason === 'Running');
    expect(await host.audit()).toMatchObject(CLEAN);
    host.world.always('vmm', hang);
    resets(host, uid);
    await eventually('it is told', () => host.vm(uid).state.reason === 'GuestReset');
    const stopped = host.life.services.power('stop', { uid, timeoutMs: 60_000 }, new AbortController().signal);
    await host.untilLater(uid, 'STOPPED');
    await stopped;
    expect(host.world.vmmsOf(uid)).toEqual([]);
  });
});

describe('a guest that has run once', () => {
  test('comes back with what it had: its process alone is made again, and its death stays to be read', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const before = host.vm(uid);
    const dead = await end(host, uid);
    expect(dead).toMatchObject({ retry: 1, lastEnd: { reason: 'VmmKilled', consoleTail: 'login:' } });
    expect(dead.state).toMatchObject({ message: 'so it ended. It is started again (restart_policy ON_FAILURE)' });
    expect(retryAt(dead) - host.clock.now()).toBeGreaterThanOrEqual(500);
    expect(retryAt(dead) - host.clock.now()).toBeLessThanOrEqual(1_000);
    host.world.calls.length = 0;
    host.clock.advance(1_000);
    const after = await host.until(uid, 'CREATED');
    expect(host.world.calls.filter((call) => !call.startsWith('undo'))).toEqual(['cgroup', 'vmm']);
    expect(after).toMatchObject({ retry: 1, allocation: before.allocation, made: before.made });
    expect(after.state.message).toBe('The guest runs again, after VmmKilled: so it ended');
    expect(await host.audit()).toMatchObject(CLEAN);
  });

  test('and dies again and again waits longer each time, up to five minutes, and is never given up', async () => {
    const host = new FakeHost({ maximumRetry: 2 });
    const uid = await running(host);
    const waits: number[] = [];
    for (let i = 0; i < 14; i++) {
      const dead = await end(host, uid, 'GuestPanic');
      expect(dead.retry).toBe(i + 1);
      if (i > 0) expect(dead.state).toMatchObject({ reason: 'CrashLoop' });
      expect(dead.state.message).toContain('so it ended');
      waits.push(retryAt(dead) - host.clock.now());
      host.clock.advance(waits.at(-1) ?? 0);
      await host.until(uid, 'CREATED');
    }
    expect(Math.max(...waits)).toBeLessThanOrEqual(300_000);
    expect(waits.at(-1)).toBeGreaterThanOrEqual(150_000);
    expect(waits[0]).toBeLessThanOrEqual(1_000);
  });

  test('and cannot be started now is tried for ever, also after what would fail a create for good', async () => {
    const host = new FakeHost({ maximumRetry: 2 });
    const uid = await running(host);
    host.world.always('vmm', fail(new Fault('refused', 'no QEMU', { reason: 'ProviderUnavailable' })));
    await end(host, uid);
    for (let i = 0; i < 6; i++) {
      host.clock.advance(300_000);
      await many();
    }
    expect(host.vm(uid).state).toMatchObject({ is: 'PENDING', reason: 'ProviderUnavailable' });
    expect(host.vm(uid).retry).toBeGreaterThan(4);
    host.world.always('vmm', undefined);
    host.clock.advance(300_000);
    await host.until(uid, 'CREATED');
  });

  test('and runs for ten minutes has its deaths counted from the beginning', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    await end(host, uid);
    await host.untilLater(uid, 'CREATED');
    host.clock.advance(STEADY_MS - 1);
    await many();
    expect(host.vm(uid).retry).toBe(1);
    host.clock.advance(1);
    await eventually('it is steady', () => host.vm(uid).retry === 0);
    expect(host.vm(uid)).toMatchObject({ state: { is: 'CREATED', message: 'The guest runs' } });
    expect(host.vm(uid).lastEnd).toBeUndefined();
    expect((await end(host, uid)).retry).toBe(1);
  });

  test('keeps its back-off over daemons: none skips it, none forgets it', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    for (let i = 0; i < 3; i++) {
      await end(host, uid);
      await host.untilLater(uid, 'CREATED');
    }
    const dead = await end(host, uid);
    const wait = retryAt(dead) - host.clock.now();
    expect(wait).toBeGreaterThanOrEqual(4_000);
    await many();
    await host.restart();
    await many();
    expect(host.vm(uid)).toMatchObject({ retry: 4, state: { is: 'PENDING', reason: 'CrashLoop' } });
    host.clock.advance(wait - 1);
    await many();
    expect(host.world.vmmsOf(uid)).toEqual([]);
    host.clock.advance(1);
    await host.until(uid, 'CREATED');
  });

  test('is deleted at once while it waits', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    await end(host, uid);
    await host.delete(uid);
    await host.until(uid, 'gone');
    expect(host.world.thingsOf(uid)).toEqual([]);
  });

  test.each(['undo vmm', 'vmm'])('is deleted while its restart hangs in %s', async (call) => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.calls.length = 0;
    host.world.next(call, hang);
    await end(host, uid);
    host.clock.advance(1_000);
    await eventually('it hangs', () => host.world.calls.includes(call));
    await host.delete(uid);
    await host.until(uid, 'gone');
    expect(host.world.thingsOf(uid)).toEqual([]);
  });
});

test('a create whose runs end before the guest ran is given up after the attempts that are allowed', async () => {
  const host = new FakeHost({ maximumRetry: 3 });
  // The mark of the process is never reached: its run ends first.
  host.world.always('vmm', fail(new Fault('tool', 'it exited', { reason: 'VmmExited' })));
  const uid = await host.create();
  expect((await host.untilLater(uid, 'FAILED')).state).toMatchObject({
    reason: 'VmmExited',
    message: 'it exited (given up after 3 attempts)',
  });
});

test('one in a loop of crashes delays no other, and does next to nothing', async () => {
  const host = new FakeHost();
  const loop = await running(host, { id: 'loop' });
  for (let i = 0; i < 8; i++) {
    await end(host, loop);
    await host.untilLater(loop, 'CREATED');
  }
  await end(host, loop);
  await many();
  host.world.calls.length = 0;
  const other = await host.create({ id: 'other' });
  await host.until(other, 'CREATED');
  expect(host.vm(loop).state).toMatchObject({ is: 'PENDING', reason: 'CrashLoop' });
  const calls = host.world.calls.length;
  await many(200);
  expect(host.world.calls.length).toBe(calls);
});

/** A restart is the end of one process and the start of another. */
const points: readonly CrashPoint[] = [
  ...(['undo', 'strike', 'intent', 'act', 'mark'] as const).map((at) => ({ kind: 'vmm', at }) as const),
];
describe.each(points.map((point) => ['kind' in point ? point.at : '', point] as const))(
  'killed after the %s of the process in a restart',
  (_, point) => {
    test('the next daemon ends the restart, once', async () => {
      const host = new FakeHost();
      const uid = await running(host);
      host.crashAt(point);
      host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'VmmKilled', message: 'so it ended' });
      await many();
      host.clock.advance(1_000);
      await host.killed();
      await host.restart();
      const vm = await host.untilLater(uid, 'CREATED');
      expect(vm.retry).toBe(1);
      expect(host.world.vmmsOf(uid)).toHaveLength(1);
      expect([...host.world.made].filter(([, times]) => times !== 1)).toEqual([
        [`cgroup /cgroups/ours/${uid}`, 2],
        [`process ${uid}`, 2],
      ]);
      expect(host.world.breaches).toEqual([]);
      expect(await host.audit()).toMatchObject(CLEAN);
      await host.delete(uid);
      await host.until(uid, 'gone');
      expect(host.world.thingsOf(uid)).toEqual([]);
    });

    test('a delete in the next daemon leaves nothing', async () => {
      const host = new FakeHost();
      const uid = await running(host);
      host.crashAt(point);
      host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'VmmKilled', message: 'so it ended' });
      await many();
      host.clock.advance(1_000);
      await host.killed();
      const restarted = host.restart();
      await host.delete(uid);
      await restarted;
      await host.until(uid, 'gone');
      expect(host.world.thingsOf(uid)).toEqual([]);
      expect(await host.audit()).toMatchObject(CLEAN);
    });
  },
);

describe('after a boot of the host', () => {
  test('everything comes back by its policy, on the disks and addresses it had', async () => {
    const host = new FakeHost();
    const uids = {
      failure: await running(host, { id: 'failure' }),
      always: await running(host, { id: 'always', restartPolicy: 'ALWAYS' }),
      never: await running(host, { id: 'never', restartPolicy: 'NEVER' }),
    };
    const off = await running(host, { id: 'off' });
    await end(host, off, 'GuestShutdown');
    await many();
    const before = host.vm(uids.failure);
    host.life.dead = true;
    host.world.boot();
    host.world.calls.length = 0;
    await host.restart();
    expect((await host.until(uids.never, 'FAILED')).state).toMatchObject({
      reason: 'VmmVanished',
      message: 'The host was booted anew, and the VMM ended with it',
    });
    for (const uid of [uids.failure, uids.always]) {
      const vm = await host.untilLater(uid, 'CREATED');
      expect(vm.retry).toBe(1);
      expect(vm.conditions.find(({ type }) => type === 'NetworkReady')?.status).toBe('True');
      expect(host.world.thingsOf(uid).length).toBeGreaterThan(5);
    }
    expect(host.vm(uids.failure).allocation).toEqual(before.allocation);
    expect(host.vm(off).state.is).toBe('STOPPED');
    // No disk and no image is touched.
    for (const call of ['image', 'golden', 'volume', 'undo volume']) expect(host.world.calls).not.toContain(call);
    expect([...host.world.made].filter(([, times]) => times !== 1)).toEqual([]);
    expect(host.world.breaches).toEqual([]);
    expect(host.life.served.get(uids.failure)).toBe(before.allocation.metadataPort);
    expect(await host.audit()).toMatchObject({ leaked: [] });
    for (const uid of [...Object.values(uids), off]) {
      await host.delete(uid);
      await host.until(uid, 'gone');
    }
    expect(host.world.thingsOf(off)).toEqual([]);
    expect(await host.audit()).toMatchObject(CLEAN);
  });

  test('a daemon that died under a create goes on with it', async () => {
    const host = new FakeHost();
    host.crashAt({ kind: 'tap', at: 'mark' });
    const uid = await host.create();
    await host.killed();
    host.world.boot();
    await host.restart();
    await host.untilLater(uid, 'CREATED');
    expect(host.vm(uid).retry).toBe(0);
    expect(host.world.breaches).toEqual([]);
    expect(await host.audit()).toMatchObject(CLEAN);
  });

  test.each(['directory', 'lease', 'guard', 'tap', 'publish', 'metadata'] as const)(
    'a daemon that is killed while it makes the %s again is followed by one that goes on',
    async (kind) => {
      for (const at of ['act', 'mark'] as const) {
        const host = new FakeHost();
        const uid = await running(host);
        host.life.dead = true;
        host.world.boot();
        host.crashAt({ kind, at });
        await host.restart();
        host.clock.advance(1_000);
        await host.killed();
        await host.restart();
        const vm = await host.untilLater(uid, 'CREATED');
        expect(vm.retry).toBe(1);
        expect([...host.world.made].filter(([, times]) => times !== 1)).toEqual([]);
        expect(await host.audit()).toMatchObject(CLEAN);
      }
    },
  );
});
