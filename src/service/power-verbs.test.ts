import { describe, expect, test } from 'vitest';
import { eventually, turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { fail, hang } from '../../test/support/fake-world.ts';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { POWER_VERBS, type PowerVerb } from '../domain/power-wishes.ts';
import { STEADY_MS } from '../domain/restart.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const never = new AbortController().signal;
const many = async (turns = 50): Promise<void> => {
  for (let i = 0; i < turns; i++) await turn();
};
const power = (host: FakeHost, verb: PowerVerb, uid: Uid, timeoutMs = 60_000) =>
  host.life.services.power(verb, { uid, timeoutMs }, never);

async function running(host: FakeHost, changes: Parameters<FakeHost['create']>[0] = {}): Promise<Uid> {
  const uid = await host.create(changes);
  await host.until(uid, 'CREATED');
  return uid;
}

describe('stop', () => {
  test('presses the power button, and is STOPPED whatever the policy says', async () => {
    const host = new FakeHost();
    const uid = await running(host, { restartPolicy: 'ALWAYS' });
    const vm = await power(host, 'stop', uid);
    expect(vm.state).toMatchObject({
      is: 'STOPPED',
      reason: 'Stopped',
      message: 'Stopped by a user. The guest powered itself off',
      consoleTail: 'login:',
    });
    expect(vm.generation).toBe(1);
    await eventually('its process is let go', () => !host.ledgerOf(uid).some(({ kind }) => kind === 'vmm'));
    expect(host.vm(uid).asked).toBeUndefined();
    await host.restart();
    host.life.dead = true;
    host.world.boot();
    await host.restart();
    host.clock.advance(600_000);
    await many();
    expect(host.vm(uid).state.is).toBe('STOPPED');
    expect(host.world.vmmsOf(uid)).toEqual([]);
    // All that the boot took is made again with the start.
    expect((await power(host, 'start', uid)).state.is).toBe('CREATED');
    expect(await host.audit()).toMatchObject(CLEAN);
    expect(host.world.breaches).toEqual([]);
  });

  test('ends a guest that does not obey, when its time is up and not before', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.obeysPower = false;
    const stopped = power(host, 'stop', uid, 12_000);
    for (const ms of [0, 5_000, 5_000, 1_999]) {
      host.clock.advance(ms);
      await many();
    }
    expect(host.world.calls.filter((call) => call === 'press power').length).toBeGreaterThan(1);
    expect(host.vm(uid).state.is).toBe('CREATED');
    host.clock.advance(1);
    expect((await stopped).state.message).toContain('did not power itself off in time and was ended');
    expect(host.world.vmmsOf(uid)).toEqual([]);
  });

  test.each([
    [
      'without ACPI at once, for it has no button',
      (host: FakeHost) => {
        host.world.acpi = false;
      },
      60_000,
      /no power button/,
    ],
    ['at once when it is given no time', () => undefined, 0, /in time/],
  ] as const)('ends a guest %s', async (_, prepare, timeoutMs, words) => {
    const host = new FakeHost();
    const uid = await running(host);
    prepare(host);
    expect((await power(host, 'stop', uid, timeoutMs)).state.message).toMatch(words);
    expect(host.world.vmmsOf(uid)).toEqual([]);
  });

  test('asks again where the VMM does not answer, and ends it when the time is up', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.always('press power', fail(new Fault('tool', 'no answer', { reason: 'VmmUnreachable' })));
    const stopped = power(host, 'stop', uid, 8_000);
    await many();
    expect(host.vm(uid).state.is).toBe('CREATED');
    await host.untilLater(uid, 'STOPPED');
    expect((await stopped).state.is).toBe('STOPPED');
    expect(host.world.vmmsOf(uid)).toEqual([]);
  });

  test('ends a guest whose VMM stands still', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.always('press power', hang);
    const stopped = power(host, 'stop', uid, 50);
    await eventually('the button is pressed', () => host.world.calls.includes('press power'));
    await expect.poll(() => host.log.lines.some(({ message }) => message.includes('cannot be told'))).toBe(true);
    await host.untilLater(uid, 'STOPPED');
    expect((await stopped).state.message).toContain('was ended');
  });

  test('interrupts a create, which start goes on with', async () => {
    const host = new FakeHost();
    host.world.next('volume', hang);
    const uid = await host.create();
    await eventually('it hangs', () => host.world.calls.includes('volume'));
    expect((await power(host, 'stop', uid)).state).toMatchObject({ is: 'STOPPED', message: 'Stopped by a user' });
    await many();
    expect(host.world.vmmsOf(uid)).toEqual([]);
    expect((await power(host, 'start', uid)).state.is).toBe('CREATED');
    expect([...host.world.made].filter(([, times]) => times !== 1)).toEqual([]);
  });

  test('ends the waiting for the next start', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestPanic', message: 'it panicked' });
    await host.until(uid, 'PENDING');
    await power(host, 'stop', uid);
    host.clock.advance(600_000);
    await many();
    expect(host.vm(uid).state.is).toBe('STOPPED');
  });

  test('goes on under the next daemon', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.obeysPower = false;
    // Its own daemon ends before it is answered.
    power(host, 'stop', uid, 20_000).catch(() => undefined);
    await eventually('the button is pressed', () => host.world.calls.includes('press power'));
    host.world.calls.length = 0;
    await host.restart();
    await eventually('it is pressed again', () => host.world.calls.includes('press power'));
    await host.untilLater(uid, 'STOPPED');
    expect(host.world.vmmsOf(uid)).toEqual([]);
  });

  test('gives way to a delete', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.obeysPower = false;
    const stopped = power(host, 'stop', uid);
    stopped.catch(() => undefined);
    await eventually('the button is pressed', () => host.world.calls.includes('press power'));
    await host.delete(uid);
    await host.until(uid, 'gone');
    await expect(stopped).rejects.toMatchObject({ kind: 'refused' });
    expect(host.world.thingsOf(uid)).toEqual([]);
  });

  test('said twice is one stop, as soon as the more impatient wants it', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.obeysPower = false;
    const first = power(host, 'stop', uid, 60_000);
    await many();
    const second = power(host, 'stop', uid, 0);
    expect((await second).state.is).toBe('STOPPED');
    expect((await first).state.is).toBe('STOPPED');
    expect((await power(host, 'stop', uid)).state.is).toBe('STOPPED');
  });
});

describe('start', () => {
  test('brings back what was stopped, as it was', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const before = host.vm(uid);
    await power(host, 'stop', uid);
    const vm = await power(host, 'start', uid);
    expect(vm).toMatchObject({ state: { is: 'CREATED', message: 'The guest runs' }, retry: 0, made: before.made });
    expect(host.world.vmmsOf(uid)).toHaveLength(1);
    expect(await host.audit()).toMatchObject(CLEAN);
  });

  test('brings back what is FAILED, and waits for no back-off', async () => {
    const host = new FakeHost();
    const uid = await running(host, { restartPolicy: 'NEVER' });
    host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestPanic', message: 'it panicked' });
    await host.until(uid, 'FAILED');
    expect((await power(host, 'start', uid)).state.is).toBe('CREATED');

    const loop = await running(host, { id: 'loop' });
    host.world.kill(host.world.vmmsOf(loop)[0] ?? -1, { reason: 'GuestPanic', message: 'it panicked' });
    await host.until(loop, 'PENDING');
    expect((await power(host, 'start', loop)).state.is).toBe('CREATED');
  });

  test('with no time answers at once, and what fails is tried again', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    await power(host, 'stop', uid);
    host.world.next('vmm', fail(new Fault('refused', 'no QEMU', { reason: 'ProviderUnavailable' })));
    expect((await power(host, 'start', uid, 0)).state.is).toBe('PENDING');
    await eventually('it failed', () => host.vm(uid).retry === 1);
    await host.untilLater(uid, 'CREATED');
  });
});

describe('reboot', () => {
  test('leaves process and state as they are', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const [pid] = host.world.vmmsOf(uid);
    const vm = await power(host, 'reboot', uid);
    expect(vm).toMatchObject({ state: { is: 'CREATED' }, retry: 0 });
    expect(host.world.calls.filter((call) => call === 'reboot')).toHaveLength(1);
    expect(host.world.vmmsOf(uid)).toEqual([pid]);
  });

  test('ends no counting of deaths: what has run for a while afterwards is steady', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestPanic', message: 'it panicked' });
    await host.until(uid, 'PENDING');
    await host.untilLater(uid, 'CREATED');
    await power(host, 'reboot', uid);
    expect(host.vm(uid).retry).toBe(1);
    host.clock.advance(STEADY_MS);
    await eventually('it is steady', () => host.vm(uid).retry === 0);
  });

  describe('of a VMM that ends where its guest reboots', () => {
    const away = async () => {
      const host = new FakeHost();
      for (const vmm of host.life.context.vmms)
        Object.assign(vmm, { capabilities: { ...vmm.capabilities, rebootInPlace: false } });
      host.world.obeysPower = false;
      const uid = await running(host, { restartPolicy: 'NEVER' });
      return { host, uid, pid: host.world.vmmsOf(uid)[0] };
    };
    const pressed = (host: FakeHost): number => host.world.calls.filter((call) => call === 'press power').length;

    test('presses its button, and its end is the reboot', async () => {
      const { host, uid, pid } = await away();
      const rebooting = power(host, 'reboot', uid);
      await eventually('it is pressed', () => pressed(host) === 1);
      expect(host.vm(uid).state.is).toBe('CREATED');
      host.world.kill(pid ?? -1, { reason: 'GuestReset', message: 'it reset itself', isReset: true });
      expect(await rebooting).toMatchObject({ state: { is: 'CREATED' }, retry: 0 });
      expect(host.world.vmmsOf(uid)).not.toEqual([pid]);
      expect(host.world.calls).not.toContain('reboot');
    });

    test('ends a guest that does not hear it, when its time is up, which counts as no death', async () => {
      const { host, uid, pid } = await away();
      const rebooting = power(host, 'reboot', uid, 20_000);
      for (let i = 0; i < 4; i++) {
        await eventually('it is pressed again', () => pressed(host) > i);
        expect(host.world.vmmsOf(uid)).toEqual([pid]);
        host.clock.advance(5_000);
      }
      expect(await rebooting).toMatchObject({ state: { is: 'CREATED' }, retry: 0 });
      expect(host.world.vmmsOf(uid)).not.toEqual([pid]);
    });
  });

  test('ends and starts what does not answer, which counts as no death', async () => {
    const host = new FakeHost();
    const uid = await running(host, { restartPolicy: 'NEVER' });
    const [pid] = host.world.vmmsOf(uid);
    host.world.next('reboot', fail(new Fault('tool', 'no answer', { reason: 'VmmUnreachable' })));
    expect(await power(host, 'reboot', uid)).toMatchObject({ state: { is: 'CREATED' }, retry: 0 });
    expect(host.world.vmmsOf(uid)).not.toEqual([pid]);
    expect(host.world.vmmsOf(uid)).toHaveLength(1);
  });

  test('goes on under the next daemon, also where the guest ended meanwhile', async () => {
    for (const isDead of [false, true]) {
      const host = new FakeHost();
      const uid = await running(host);
      host.world.next('reboot', hang);
      void power(host, 'reboot', uid).catch(() => undefined);
      await eventually('it reboots', () => host.world.calls.includes('reboot'));
      host.life.dead = true;
      if (isDead) host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'VmmKilled', message: 'unseen' });
      await host.restart();
      await eventually(
        'it has rebooted',
        () => host.vm(uid).asked === undefined && host.vm(uid).state.is === 'CREATED',
      );
      expect(host.vm(uid).retry).toBe(0);
    }
  });

  test('of a guest that does not answer the next daemon either is a new process', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const [pid = -1] = host.world.vmmsOf(uid);
    host.world.next('reboot', hang, fail(new Fault('tool', 'no answer', { reason: 'VmmUnreachable' })));
    void power(host, 'reboot', uid).catch(() => undefined);
    await eventually('it reboots', () => host.world.calls.includes('reboot'));
    host.life.dead = true;
    const process = host.world.processes.get(pid);
    if (process) process.guest = 'unreachable';
    await host.restart();
    await eventually('it runs again', () => host.vm(uid).asked === undefined && host.vm(uid).state.is === 'CREATED');
    expect(host.world.vmmsOf(uid)).toHaveLength(1);
    expect(host.world.vmmsOf(uid)).not.toEqual([pid]);
  });

  test('is given up for a stop', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.next('reboot', hang);
    const rebooted = power(host, 'reboot', uid);
    rebooted.catch(() => undefined);
    await eventually('it reboots', () => host.world.calls.includes('reboot'));
    await expect(power(host, 'pause', uid)).rejects.toMatchObject({ kind: 'conflict' });
    await power(host, 'stop', uid);
    await expect(rebooted).rejects.toBeInstanceOf(Fault);
    expect(host.vm(uid).state.is).toBe('STOPPED');
  });
});

test('a machine that cannot be paused is not told to', async () => {
  const host = new FakeHost();
  const uid = await running(host);
  const [vmm] = host.life.context.vmms;
  if (!vmm) throw new Error('no VMM');
  Object.assign(vmm, { capabilities: { ...vmm.capabilities, pause: false } });
  await expect(power(host, 'pause', uid)).rejects.toMatchObject({
    ...{ kind: 'refused', message: expect.stringContaining('The fake machine cannot be paused') },
  });
});

test('pause and resume are the guest’s, and said twice do no harm', async () => {
  const host = new FakeHost();
  const uid = await running(host);
  for (const _ of [1, 2]) expect((await power(host, 'pause', uid)).state.is).toBe('PAUSED');
  await expect(power(host, 'reboot', uid)).rejects.toMatchObject({ kind: 'refused' });
  await expect(power(host, 'start', uid)).rejects.toMatchObject({ kind: 'refused' });
  await host.restart();
  expect(host.vm(uid).state.is).toBe('PAUSED');
  for (const _ of [1, 2]) expect((await power(host, 'resume', uid)).state.is).toBe('CREATED');
  expect(host.world.calls.filter((call) => call === 'pause' || call === 'resume')).toEqual(['pause', 'resume']);
});

describe('pause', () => {
  const asksOf = (host: FakeHost, call: string): number => host.world.calls.filter((one) => one === call).length;

  test('is stored before it is done, and goes on under the next daemon', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const [pid] = host.world.vmmsOf(uid);
    host.world.next('pause', hang);
    void power(host, 'pause', uid).catch(() => undefined);
    await eventually('it is asked', () => asksOf(host, 'pause') === 1);
    expect(host.vm(uid)).toMatchObject({ state: { is: 'CREATED' }, asked: { for: 'pause' } });
    // However long that takes.
    host.life.dead = true;
    host.clock.advance(86_400_000);
    await host.restart();
    await host.until(uid, 'PAUSED');
    expect(host.vm(uid).asked).toBeUndefined();
    expect(host.world.vmmsOf(uid)).toEqual([pid]);
    for (const _ of [1, 2]) {
      await host.restart();
      expect(host.vm(uid).state.is).toBe('PAUSED');
    }
    expect((await power(host, 'resume', uid)).state.is).toBe('CREATED');
  });

  test('that was done and could not be written down is known to the next daemon by its VMM', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const [pid = -1] = host.world.vmmsOf(uid);
    host.world.next('pause', () => {
      host.life.dead = true;
      host.world.say(pid, 'paused');
    });
    void power(host, 'pause', uid).catch(() => undefined);
    await host.killed();
    expect(host.vm(uid)).toMatchObject({ state: { is: 'CREATED' }, asked: { for: 'pause' } });
    await host.restart();
    await host.until(uid, 'PAUSED');
    expect(host.vm(uid).asked).toBeUndefined();
    expect(asksOf(host, 'pause')).toBe(1);
  });

  test('is one change when it is done: no daemon finds it half', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const { version } = host.vm(uid);
    await power(host, 'pause', uid);
    const told = host.life.store.events(0, 1_000).filter(({ vm }) => vm.uid === uid && vm.version > version);
    expect(told.map(({ vm }) => [vm.state.is, vm.asked?.for])).toEqual([
      ['CREATED', 'pause'],
      ['PAUSED', undefined],
    ]);
  });

  test('of a VMM that does not answer ends with the time of the call, and is not done later', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.always('pause', fail(new Fault('tool', 'no answer', { reason: 'VmmUnreachable' })));
    await expect(power(host, 'pause', uid, 50)).rejects.toMatchObject({
      kind: 'timeout',
      message: expect.stringContaining('its VMM did not answer in 0.05 s'),
    });
    host.clock.advance(50);
    await eventually('it is given up', () => host.vm(uid).asked === undefined);
    host.world.always('pause', undefined);
    host.clock.advance(60_000);
    await many();
    expect(host.vm(uid).state.is).toBe('CREATED');
    expect((await power(host, 'pause', uid)).state.is).toBe('PAUSED');
  });

  test('of an earlier daemon waits for a VMM that does not answer yet', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const [pid = -1] = host.world.vmmsOf(uid);
    host.world.next('pause', hang, fail(new Fault('tool', 'no answer', { reason: 'VmmUnreachable' })));
    void power(host, 'pause', uid, 1).catch(() => undefined);
    await eventually('it is asked', () => asksOf(host, 'pause') === 1);
    host.life.dead = true;
    host.clock.advance(10_000);
    const process = host.world.processes.get(pid);
    if (process) process.guest = 'unreachable';
    await host.restart();
    await eventually('it is asked again', () => asksOf(host, 'pause') === 2);
    await host.untilLater(uid, 'PAUSED');
    expect(host.vm(uid).asked).toBeUndefined();
  });

  test.each([
    ['a stop', (host: FakeHost, uid: Uid) => power(host, 'stop', uid), 'STOPPED', ['conflict', 'refused']],
    ['a delete', (host: FakeHost, uid: Uid) => host.delete(uid), 'DELETING', ['refused']],
  ] as const)('gives way to %s', async (_, first, state, kinds) => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.next('pause', hang);
    const paused = power(host, 'pause', uid);
    paused.catch(() => undefined);
    await eventually('it is asked', () => asksOf(host, 'pause') === 1);
    for (const verb of ['resume', 'reboot'] as const)
      await expect(power(host, verb, uid)).rejects.toMatchObject({ kind: 'conflict' });
    await first(host, uid);
    await host.until(uid, state);
    const error: unknown = await paused.catch((reason: unknown) => reason);
    expect(error instanceof Fault ? kinds : []).toContain(error instanceof Fault && error.kind);
    expect(host.vm(uid).asked).toBeUndefined();
  });

  test('is lost with its run, and says so', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const { promise: answer, reject } = Promise.withResolvers<void>();
    host.world.next('pause', () => answer);
    const paused = power(host, 'pause', uid);
    paused.catch(() => undefined);
    await eventually('it is asked', () => asksOf(host, 'pause') === 1);
    host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestPanic', message: 'it panicked' });
    reject(new Fault('tool', 'its connection has ended', { reason: 'VmmUnreachable' }));
    await expect(paused).rejects.toMatchObject({ kind: 'refused', reason: 'GuestPanic' });
    await host.untilLater(uid, 'CREATED');
    await many();
    expect(host.vm(uid).state.is).toBe('CREATED');
  });

  test('said by two at once is one', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    const both = await Promise.all([power(host, 'pause', uid), power(host, 'pause', uid)]);
    expect(both.map(({ state }) => state.is)).toEqual(['PAUSED', 'PAUSED']);
    expect(asksOf(host, 'pause')).toBe(1);
  });
});

describe('a verb in the wrong state is refused with what would do', () => {
  const states: readonly [string, (host: FakeHost) => Promise<Uid>, readonly PowerVerb[]][] = [
    [
      'STOPPED',
      async (host) => {
        const uid = await running(host);
        await power(host, 'stop', uid);
        return uid;
      },
      ['reboot', 'pause', 'resume'],
    ],
    [
      'FAILED',
      async (host) => {
        host.world.next('vmm', fail(new Fault('refused', 'no', { reason: 'ProviderRefused' })));
        const uid = await host.create();
        await host.until(uid, 'FAILED');
        return uid;
      },
      ['stop', 'reboot', 'pause', 'resume'],
    ],
    [
      'PENDING',
      async (host) => {
        host.world.always('volume', hang);
        return host.create();
      },
      ['reboot', 'pause', 'resume'],
    ],
    [
      'DELETING',
      async (host) => {
        host.world.always('undo vmm', hang);
        const uid = await running(host);
        await host.delete(uid);
        return uid;
      },
      ['start', 'stop', 'reboot', 'pause', 'resume'],
    ],
  ];
  test.each(states)('%s', async (state, prepare, verbs) => {
    const host = new FakeHost();
    const uid = await prepare(host);
    expect(host.vm(uid).state.is).toBe(state);
    for (const verb of verbs)
      await expect(power(host, verb, uid), verb).rejects.toMatchObject({
        kind: 'refused',
        message: expect.stringMatching(new RegExp(`^Cannot ${verb} microVM .*: it is ${state} .*; only `)),
      });
  });

  test('beside a stop all but another stop is refused as a conflict', async () => {
    const host = new FakeHost();
    const uid = await running(host);
    host.world.obeysPower = false;
    void power(host, 'stop', uid).catch(() => undefined);
    await many();
    for (const verb of POWER_VERBS.filter((one) => one !== 'stop'))
      await expect(power(host, verb, uid), verb).rejects.toMatchObject({ kind: 'conflict' });
  });

  test('what is not there is not found', async () => {
    const host = new FakeHost();
    for (const verb of POWER_VERBS)
      await expect(power(host, verb, '01JDGZ0000000000000000000A' as Uid)).rejects.toMatchObject({ kind: 'not_found' });
  });
});
