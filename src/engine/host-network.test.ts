import { describe, expect, test, vi } from 'vitest';
import { eventually, turn } from '../../test/support/fake-clock.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { fail, hang } from '../../test/support/fake-world.ts';
import { Fault } from '../domain/fault.ts';
import { HOST_OWNER } from '../domain/ledger.ts';

const never = new AbortController().signal;
const many = async (): Promise<void> => {
  for (let i = 0; i < 30; i++) await turn();
};
const timesOf = (host: FakeHost, call: string): number => host.world.calls.filter((one) => one === call).length;

describe('the network', () => {
  test('is made once for all who need it at once, and written down', async () => {
    const host = new FakeHost();
    const { network } = host.life;
    expect(network.isMade()).toBe(false);
    await Promise.all(Array.from({ length: 10 }, () => network.ensure(never)));
    for (const call of ['forwarding', 'bridge', 'firewall', 'guards', 'publishing', 'dhcp'])
      expect(timesOf(host, call)).toBe(1);
    expect(network.isMade()).toBe(true);
    expect(host.world.forwards).toBe(true);
    expect(host.world.breaches).toEqual([]);
    expect(host.life.ledger.of(HOST_OWNER).every(({ made }) => made)).toBe(true);
  });

  test('is left to the others by one that gives up', async () => {
    const host = new FakeHost();
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    host.world.next('bridge', () => held);
    const abort = new AbortController();
    const [first, second] = [host.life.network.ensure(abort.signal), host.life.network.ensure(never)];
    const seen = expect(first).rejects.toThrow('gave up');
    abort.abort(new Error('gave up'));
    await seen;
    letGo();
    await second;
    expect(timesOf(host, 'bridge')).toBe(1);
  });

  test('that could not be made is tried again by the next, and nobody’s failure is lost', async () => {
    const host = new FakeHost();
    host.world.next('firewall', fail(new Fault('tool', 'nft is away')), fail(new Fault('tool', 'still away')));
    // It has given up before it began: its attempt must not fail behind everybody's back.
    await expect(host.life.network.ensure(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
    await many();
    await expect(host.life.network.ensure(never)).rejects.toThrow(/away/);
    await host.life.network.ensure(never).catch(() => host.life.network.ensure(never));
    expect(host.life.network.isMade()).toBe(true);
  });

  test('is mended when its DHCP server has died, taps and all', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    const server = [...host.world.processes.values()].find(({ argv }) => argv[0] === 'dnsmasq');
    host.world.processes.delete(server?.identity.pid ?? -1);
    host.world.interfaces.clear();
    host.clock.advance(2_000);
    const tap = `flabcd${uid.slice(-6).toLowerCase()}0`;
    await eventually('it is mended', () => host.world.interfaces.has(tap));
    expect([...host.world.processes.values()].some(({ argv }) => argv[0] === 'dnsmasq')).toBe(true);
    expect(host.world.interfaces.has('flabcdbr')).toBe(true);
    await many();
    expect(await host.audit()).toMatchObject({ leaked: [], missing: [] });
  });

  test('is mended when its tables were swept away, with the guards and ports of each microVM', async () => {
    const host = new FakeHost();
    const uids = [await host.create({ id: 'a' }), await host.create({ id: 'b' })];
    for (const uid of uids) await host.until(uid, 'CREATED');
    const { tables, guards, ports, ways, rules } = host.world;
    const before = [tables, guards, ports, ways, rules].map((set) => [...set].sort());
    expect(before.map((set) => set.length)).toEqual([5, 2, 2, 2, 1]);
    for (const set of [tables, guards, ports, ways, rules]) set.clear();
    // One that cannot be made again keeps none of the others, and is tried again.
    host.world.next('guard', fail(new Fault('tool', 'nft is away')));
    host.clock.advance(2_000);
    await eventually('it is said', () => host.log.lines.some(({ message }) => message.includes('could not be mended')));
    expect([guards.size, ports.size]).toEqual([1, 2]);
    await eventually('it looks again', () => host.clock.waiting === 1);
    host.clock.advance(2_000);
    await eventually('all is mended', () => guards.size === 2);
    expect([tables, guards, ports, ways, rules].map((set) => [...set].sort())).toEqual(before);
  });

  test('swept away while no daemon ran is whole again with the next one', async () => {
    const host = new FakeHost();
    await host.until(await host.create(), 'CREATED');
    const { tables, guards, ports, ways, rules } = host.world;
    host.life.dead = true;
    for (const set of [tables, guards, ports, ways, rules]) set.clear();
    await host.restart();
    await eventually('all is mended', () => guards.size === 1 && ports.size === 1 && ways.size === 1);
  });

  test('of a microVM that is deleted meanwhile nothing is left', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    host.world.tables.clear();
    host.world.next('guard', () => held);
    host.clock.advance(2_000);
    await eventually('the guard is being made', () => timesOf(host, 'guard') === 2);
    await host.delete(uid);
    await host.until(uid, 'gone');
    letGo();
    await many();
    expect([host.world.guards.size, host.world.ports.size]).toEqual([0, 0]);
    expect(host.world.thingsOf(uid)).toEqual([]);
  });

  test('is not made where another network of the host has come since the start; it is tried again', async () => {
    const host = new FakeHost();
    host.world.overlap = "10.77.0.0/24 overlaps the host's route 10.77.0.0/24 dev br9: choose another network";
    const uid = await host.create();
    const vm = await eventually('it is said', () => {
      const now = host.vm(uid);
      return now.state.reason === 'NetworkFailed' ? now : undefined;
    });
    expect(vm.state).toMatchObject({ is: 'PENDING', message: expect.stringContaining('choose another network') });
    expect(host.world.interfaces.size).toBe(0);
    host.world.overlap = undefined;
    await host.untilLater(uid, 'CREATED');
  });

  test('that cannot be mended is tried again, and said', async () => {
    const host = new FakeHost();
    await host.life.network.ensure(never);
    host.world.tables.clear();
    host.world.next('firewall', fail(new Fault('tool', 'nft is away')));
    host.clock.advance(2_000);
    await eventually('it is said', () => host.log.lines.some(({ level }) => level === 'error'));
    await eventually('it looks again', () => host.clock.waiting === 1);
    host.clock.advance(2_000);
    await eventually('it is mended', () => host.world.tables.has('inet flintlock_abcd'));
  });

  test('is looked after by the next daemon from its start', async () => {
    const host = new FakeHost();
    await host.life.network.ensure(never);
    await host.restart();
    await eventually('it looks', () => host.clock.waiting > 0);
    host.world.tables.clear();
    host.clock.advance(2_000);
    await eventually('it is mended', () => host.world.tables.has('inet flintlock_abcd'));
  });

  test('goes on when it is let go of: no timer is left, nothing is undone', async () => {
    const host = new FakeHost();
    await host.life.network.ensure(never);
    host.life.network.release();
    expect(host.clock.waiting).toBe(0);
    expect(host.world.leaseListeners.size).toBe(0);
    expect(host.world.interfaces.has('flabcdbr')).toBe(true);
  });

  test('let go of while it is made leaves neither timer nor failure behind', async () => {
    for (const call of ['bridge', 'dhcp']) {
      const host = new FakeHost();
      const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
      host.world.next(call, call === 'bridge' ? hang : () => held);
      const made = host.life.network.ensure(never).catch((error: unknown) => error);
      await eventually('it is under way', () => host.world.calls.includes(call));
      host.life.network.release();
      letGo();
      await made;
      await many();
      expect(host.clock.waiting).toBe(0);
    }
  });
});

describe('an address that a guest took', () => {
  test('goes into its record, and no other’s does', async () => {
    const host = new FakeHost();
    const [one, two] = [await host.create({ id: 'one' }), await host.create({ id: 'two' })];
    await host.until(one, 'CREATED');
    await host.until(two, 'CREATED');
    const nicOf = (uid: typeof one) => host.vm(uid).allocation.interfaces.eth0;
    host.world.leases.push(
      { mac: nicOf(one)?.mac ?? '', address: nicOf(one)?.address ?? '', expiresAt: 0 },
      // Another's address, as by a server that went wrong.
      { mac: nicOf(two)?.mac ?? '', address: nicOf(one)?.address ?? '', expiresAt: 0 },
      { mac: '52:54:00:ff:ff:ff', address: '10.77.0.200', expiresAt: 0 },
    );
    for (const changed of host.world.leaseListeners) changed();
    await eventually('it is told', () => Object.keys(host.vm(one).addresses).length > 0);
    expect(host.vm(one).addresses).toEqual({ eth0: [nicOf(one)?.address] });
    expect(host.vm(two).addresses).toEqual({});
    const { version } = host.vm(one);
    for (const changed of host.world.leaseListeners) changed();
    await many();
    expect(host.vm(one).version).toBe(version);
  });

  test('is looked for without reading or writing a record that says so', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    const { mac = '', address = '' } = host.vm(uid).allocation.interfaces.eth0 ?? {};
    host.world.leases.push({ mac, address, expiresAt: 0 });
    const look = async (): Promise<void> => {
      for (const changed of host.world.leaseListeners) changed();
      await many();
    };
    await look();
    expect(host.vm(uid).addresses.eth0).toEqual([address]);
    const update = vi.spyOn(host.life.store, 'update');
    for (let i = 0; i < 3; i++) await look();
    expect(update).not.toHaveBeenCalled();
    // Whatever else was written may have taken it away, as the end of a run does.
    host.life.store.update(uid, (vm) => ({ ...vm, addresses: {} }));
    await look();
    expect(host.vm(uid).addresses.eth0).toEqual([address]);
  });

  test('while nobody looked is told after the start', async () => {
    const host = new FakeHost();
    const uid = await host.create();
    await host.until(uid, 'CREATED');
    const { mac = '', address = '' } = host.vm(uid).allocation.interfaces.eth0 ?? {};
    host.world.leases.push({ mac, address, expiresAt: 0 });
    await host.restart();
    await eventually('it is told', () => host.vm(uid).addresses.eth0);
  });
});
