import { existsSync } from 'node:fs';
import { appendFile, chmod, mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { askForAddress, ping, plugPeer } from '../../test/support/peer.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { Run } from '../ports/host.ts';
import type { DhcpIntent, LeaseIntent, Network } from '../ports/network.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const bridge = { bridge: 'fltstbr', alias: 'flintlock:tst:host', address: '10.77.0.1/24' };
const firewall = { table: 'flintlock_tst', bridge: 'fltstbr', cidr: '10.77.0.0/24' };
const tap = { device: 'fltstabcdef0', bridge: 'fltstbr', alias: 'flintlock:tst:uid=1' };

let host: Netns;
let network: Network;
let directory: string;
let dhcp: DhcpIntent;
let guests: Netns[];
const signal = new AbortController().signal;

beforeEach(async () => {
  guests = [];
  host = await createNetns();
  directory = await mkdtemp(join(tmpdir(), 'fl-net-'));
  await chmod(directory, 0o711);
  dhcp = { directory: join(directory, 'dhcp'), bridge: 'fltstbr', cidr: '10.77.0.0/24', gateway: '10.77.0.1' };
  network = newNetwork();
});

afterEach(async () => {
  await network.stopDhcp(dhcp, signal);
  for (const guest of guests) await guest[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** As a daemon that has just started: it knows of nothing. */
const newNetwork = (): Network =>
  createNetwork({ run: host.run, living: host.living, processes: host.processes, files, clock, log });

const sh = (netns: Netns, ...argv: [string, ...string[]]): Promise<string> =>
  netns.run(argv, { signal, timeoutMs: 20_000 });

const plugGuest = async (index: number, mac: string): Promise<Netns> => {
  const guest = await plugPeer(host, { bridge: 'fltstbr', port: `port${index}`, mac });
  guests.push(guest);
  return guest;
};
const askDhcp = (guest: Netns): Promise<string> => askForAddress(guest, directory);

const lease = (n: number): LeaseIntent => ({
  directory: dhcp.directory,
  file: `vm${n}-eth0`,
  bridge: 'fltstbr',
  mac: `52:54:00:00:00:0${n}`,
  address: `10.77.0.${10 + n}`,
  hostname: `vm-${n}`,
});

/** That macvtaps can be made on, with numbers that are far off. */
const DEVICE = 'ip link add up0 index 9001 type veth peer name up1 index 9002'.split(' ') as [string, ...string[]];

describe('taps', () => {
  beforeEach(() => network.addBridge(bridge, signal));

  test('is added twice, shown with its mark, and removed twice', async () => {
    const made = await network.addTap(tap, signal);
    expect(await network.addTap(tap, signal)).toEqual(made);
    const shown = (await network.interfaces(signal)).find((i) => i.device === tap.device);
    expect(shown).toMatchObject({ index: made.index, mac: made.mac, alias: tap.alias, kind: 'tun', master: 'fltstbr' });
    await network.removeTap(tap, signal);
    await network.removeTap(tap, signal);
    expect((await network.interfaces(signal)).map((i) => i.device)).toEqual(['lo', 'fltstbr']);
  });

  test('has no number of which there is a macvtap in another namespace, and is made anew where one comes', async (t) => {
    await using other = await createNetns();
    await sh(other, ...DEVICE);
    const stranger = (number: number) =>
      sh(other, 'ip', 'link', 'add', 'link', 'up0', 'index', String(number), 'name', `mv${number}`, 'type', 'macvtap');
    // The next ones of this namespace.
    const last = Math.max(...(await network.interfaces(signal)).map(({ index }) => index));
    await stranger(last + 1);
    await stranger(last + 2);
    if (!existsSync(`/dev/tap${last + 1}`)) return t.skip('the kernel makes no device nodes here');
    const made = await network.addTap(tap, signal);
    expect(made.index).toBeGreaterThan(last + 2); // others' tests have macvtaps too
    const now = async () => (await network.interfaces(signal)).find(({ device }) => device === tap.device) ?? made;
    expect(await network.renewTap(tap, await now(), signal)).toBeUndefined();

    await stranger(made.index);
    expect(await network.renewTap(tap, { ...(await now()), isPlugged: true }, signal)).toBeUndefined();
    const next = await network.renewTap(tap, await now(), signal);
    expect(next?.index).toBeGreaterThan(made.index);
    expect(await now()).toMatchObject({ ...next, alias: tap.alias, master: 'fltstbr', isPlugged: false });
  });

  test('a stranger’s macvtap that a process has open is found', async (t) => {
    await using other = await createNetns();
    await sh(other, ...DEVICE);
    await sh(other, 'ip', 'link', 'add', 'link', 'up0', 'index', '7001', 'name', 'mv0', 'type', 'macvtap');
    if (!existsSync('/dev/tap7001')) return t.skip('the kernel makes no device nodes here');
    const file = await open('/dev/tap7001', 'r+');
    t.onTestFinished(() => file.close());
    expect(await network.strayTap(process.pid, [])).toBe('/dev/tap7001');
    expect(await network.strayTap(process.pid, ['/dev/tap7001'])).toBeUndefined();
  });

  test('one that was cut off before its mark is completed, and can be removed', async () => {
    await sh(host, 'ip', 'tuntap', 'add', 'dev', tap.device, 'mode', 'tap');
    await network.addTap(tap, signal);
    expect((await network.interfaces(signal)).at(-1)).toMatchObject({ alias: tap.alias, master: 'fltstbr' });
    await network.removeTap(tap, signal);
    await sh(host, 'ip', 'tuntap', 'add', 'dev', tap.device, 'mode', 'tap');
    await network.removeTap(tap, signal);
    expect((await network.interfaces(signal)).length).toBe(2);
  });

  test("somebody else's is neither taken nor removed", async () => {
    await sh(host, 'ip', 'tuntap', 'add', 'dev', tap.device, 'mode', 'tap');
    await sh(host, 'ip', 'link', 'set', tap.device, 'alias', 'theirs');
    const said = { kind: 'tool', reason: 'NetworkFailed', message: expect.stringContaining('"theirs"') };
    await expect(network.addTap(tap, signal)).rejects.toMatchObject(said);
    await expect(network.removeTap(tap, signal)).rejects.toMatchObject(said);
    await sh(host, 'ip', 'link', 'delete', tap.device);
    await sh(host, 'ip', 'link', 'add', tap.device, 'type', 'veth');
    await expect(network.removeTap(tap, signal)).rejects.toMatchObject({ message: expect.stringContaining('veth') });
    expect((await network.interfaces(signal)).some((i) => i.device === tap.device)).toBe(true);
  });

  test('without its bridge the fault says so', async () => {
    await network.removeBridge(bridge, signal);
    await expect(network.addTap(tap, signal)).rejects.toMatchObject({
      kind: 'tool',
      reason: 'NetworkFailed',
      message: expect.stringMatching(/Cannot add tap fltstabcdef0 to bridge fltstbr.*does not exist/s),
    });
  });

  test('it costs two processes to add and two to remove', async () => {
    let processes = 0;
    const counted = createNetwork({
      run: (argv, limits) => {
        processes++;
        return host.run(argv, limits);
      },
      processes: host.processes,
      files,
      clock,
      log,
    });
    await counted.addTap(tap, signal);
    expect(processes).toBe(2);
    await counted.removeTap(tap, signal);
    expect(processes).toBe(4);
  });

  test('it costs none where ip is kept', async () => {
    const run: Run = async (argv) => {
      throw new Error(`${argv.join(' ')} was started`);
    };
    const kept = createNetwork({ run, living: host.living, processes: host.processes, files, clock, log });
    for (let i = 0; i < 3; i++) {
      await kept.addTap(tap, signal);
      await kept.removeTap(tap, signal);
    }
  });
});

describe('bridge', () => {
  test('is added twice, keeps its MAC whatever its ports, says nothing in IPv6, and is removed twice', async () => {
    await network.addBridge(bridge, signal);
    const find = async () => (await network.interfaces(signal)).find((i) => i.device === 'fltstbr');
    const before = await find();
    await network.addBridge(bridge, signal);
    await network.addTap(tap, signal);
    expect(await find()).toEqual(before);
    expect(await sh(host, 'ip', '-o', 'addr', 'show', 'dev', 'fltstbr')).toMatch(
      /^\S+ fltstbr +inet 10.77.0.1\/24 .*\n$/,
    );
    expect(await sh(host, 'cat', '/proc/sys/net/ipv6/conf/fltstbr/disable_ipv6')).toBe('1\n');
    await network.removeBridge(bridge, signal);
    await network.removeBridge(bridge, signal);
    expect(await find()).toBeUndefined();
  });

  test('takes on another address of its own, and refuses one that is not ours', async () => {
    await network.addBridge(bridge, signal);
    await network.addBridge({ ...bridge, address: '10.78.0.1/24' }, signal);
    expect(await sh(host, 'ip', '-4', '-o', 'addr', 'show', 'dev', 'fltstbr')).toMatch(
      /^\S+ fltstbr +inet 10.78.0.1\/24 .*\n$/,
    );
    const other = { ...bridge, alias: 'flintlock:else:host' };
    const refused = { kind: 'tool', message: expect.stringContaining('not ours') };
    await expect(network.addBridge(other, signal)).rejects.toMatchObject(refused);
    await expect(network.removeBridge(other, signal)).rejects.toMatchObject(refused);
    expect((await network.interfaces(signal)).length).toBe(2);
  });
});

test('the firewall table is set twice without an uplink, and removed twice', async () => {
  await network.addFirewall(firewall, signal);
  const rules = await sh(host, 'nft', 'list', 'ruleset');
  await network.addFirewall(firewall, signal);
  expect(await sh(host, 'nft', 'list', 'ruleset')).toBe(rules);
  expect(await network.tables(signal)).toEqual(['inet flintlock_tst']);
  await network.removeFirewall(firewall, signal);
  await network.removeFirewall(firewall, signal);
  expect(await network.tables(signal)).toEqual([]);
});

test('what the audit proved ours is removed, interface or table', async () => {
  await network.addBridge(bridge, signal);
  await network.addFirewall(firewall, signal);
  for (let i = 0; i < 2; i++) {
    await network.removeInterface('fltstbr', signal);
    await network.removeTable('inet flintlock_tst', signal);
  }
  expect((await network.interfaces(signal)).map((i) => i.device)).toEqual(['lo']);
  expect(await network.tables(signal)).toEqual([]);
});

test('forwarding is read and set', async () => {
  await network.setForwarding(true);
  await network.setForwarding(true);
  expect(await network.forwarding()).toBe(true);
  await network.setForwarding(false);
  expect(await network.forwarding()).toBe(false);
});

test('guests reach the outside masqueraded and are not reached from it', async () => {
  await network.addBridge(bridge, signal);
  await network.addFirewall(firewall, signal);
  await network.setForwarding(true);
  const outside = await createNetns();
  guests.push(outside);
  await sh(host, 'ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(outside.pid));
  await sh(host, 'ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'uplink');
  await sh(host, 'ip', 'link', 'set', 'uplink', 'up');
  await sh(outside, 'ip', 'addr', 'add', '192.0.2.2/24', 'dev', 'eth0');
  await sh(outside, 'ip', 'link', 'set', 'eth0', 'up');
  const guest = await plugGuest(1, '52:54:00:00:00:01');
  await sh(guest, 'ip', 'addr', 'add', '10.77.0.11/24', 'dev', 'eth0');
  await sh(guest, 'ip', 'route', 'add', 'default', 'via', '10.77.0.1');

  expect(await ping(guest, '192.0.2.2')).toBe(true); // the outside has no route back: it answers the host
  await sh(outside, 'ip', 'route', 'add', '10.77.0.0/24', 'via', '192.0.2.1');
  for (const closed of ['10.77.0.11', '10.77.0.1']) expect(await ping(outside, closed)).toBe(false);
  expect(await ping(outside, '192.0.2.1')).toBe(true);
  await network.removeFirewall(firewall, signal);
  expect(await ping(outside, '10.77.0.11')).toBe(true); // so it was the firewall
});

describe('DHCP', () => {
  beforeEach(async () => {
    await network.addBridge(bridge, signal);
    await network.addFirewall(firewall, signal);
  });

  test('guests get their reserved addresses, reach each other, the host, and their names', async () => {
    await network.startDhcp(dhcp, signal);
    const changed = vi.fn();
    const stop = network.onTaken(dhcp, changed);
    await network.addLease(lease(1), signal);
    await network.addLease(lease(2), signal);
    await network.addLease(lease(2), signal);
    const [one, two] = [await plugGuest(1, lease(1).mac), await plugGuest(2, lease(2).mac)];
    expect(await Promise.all([askDhcp(one), askDhcp(two)])).toEqual(['10.77.0.11', '10.77.0.12']);
    expect(await ping(one, '10.77.0.1')).toBe(true);
    expect(await ping(one, '10.77.0.12')).toBe(true);
    expect(await ping(two, '10.77.0.11')).toBe(true);
    expect(await sh(one, 'busybox', 'nslookup', 'vm-2.flintlock.internal', '10.77.0.1')).toContain('10.77.0.12');

    await expect.poll(() => changed.mock.calls.length, { timeout: 10_000 }).toBeGreaterThan(0);
    stop();
    const taken = await network.taken(dhcp);
    expect(taken.map(({ mac, address }) => `${mac} ${address}`).sort()).toEqual([
      '52:54:00:00:00:01 10.77.0.11',
      '52:54:00:00:00:02 10.77.0.12',
    ]);
    for (const { expiresAt } of taken) expect(Math.abs(expiresAt - Date.now() - 3_600_000)).toBeLessThan(60_000);

    const stranger = await plugGuest(3, '52:54:00:00:00:99');
    await expect(
      sh(stranger, 'busybox', 'udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-t', '1', '-T', '1', '-s', '/bin/true'),
    ).rejects.toThrow('no lease');
    expect(await serverLog()).not.toContain('duplicate');
  });

  test('the name of a guest that never asks for an address is known too, until it is gone', async () => {
    await network.startDhcp(dhcp, signal);
    const guest = await plugGuest(1, lease(1).mac);
    await sh(guest, 'ip', 'address', 'add', '10.77.0.11/24', 'dev', 'eth0');
    const asked = (name: string) =>
      sh(guest, 'busybox', 'nslookup', name, '10.77.0.1').catch((error: Error) => error.message);
    const fixed = { ...lease(1), isStatic: true } as const;
    await network.addLease(fixed, signal);
    await network.addLease(fixed, signal);
    for (const name of ['vm-1.flintlock.internal', 'vm-1'])
      await expect.poll(() => asked(name), { timeout: 20_000 }).toContain('10.77.0.11');
    await expect.poll(() => asked('10.77.0.11'), { timeout: 20_000 }).toContain('vm-1.flintlock.internal');
    await network.addLease({ ...fixed, hostname: 'other' }, signal);
    await expect.poll(() => asked('other.flintlock.internal'), { timeout: 20_000 }).toContain('10.77.0.11');
    await expect.poll(() => asked('vm-1.flintlock.internal'), { timeout: 20_000 }).toContain('nsenter failed');
    await network.removeLease(fixed, signal);
    await expect.poll(() => asked('other.flintlock.internal'), { timeout: 20_000 }).toContain('nsenter failed');
    expect(await readdir(join(dhcp.directory, 'names'))).toEqual([]);
  });

  test('an address that was given back goes to another MAC at once', async () => {
    await network.startDhcp(dhcp, signal);
    const guest = await plugGuest(1, lease(1).mac);
    for (const round of [1, 2, 3]) {
      const reused = { ...lease(round), address: '10.77.0.50' };
      await network.addLease(reused, signal);
      await sh(guest, 'ip', 'link', 'set', 'eth0', 'address', reused.mac);
      expect(await askDhcp(guest)).toBe('10.77.0.50');
      await network.removeLease(reused, signal);
      await network.removeLease(reused, signal);
      expect(await network.taken(dhcp)).toEqual([]);
    }
    expect(await readdir(join(dhcp.directory, 'hosts'))).toEqual([]);
    expect(await serverLog()).not.toContain('not using configured address');
  });

  test('a guest that names itself otherwise after a reboot keeps its address, which can still be given back', async () => {
    await network.startDhcp(dhcp, signal);
    await network.addLease(lease(1), signal);
    const guest = await plugGuest(1, lease(1).mac);
    expect(await askDhcp(guest)).toBe('10.77.0.11');
    for (const naming of [['-x', '0x3d:ff0102030405'], ['-C'], ['-x', 'hostname:vm-9']])
      await sh(
        guest,
        'busybox',
        'udhcpc',
        '-i',
        'eth0',
        '-f',
        '-n',
        '-q',
        '-t',
        '10',
        '-T',
        '1',
        '-s',
        '/bin/true',
        ...naming,
      );
    expect((await network.taken(dhcp)).map((t) => t.address)).toEqual(['10.77.0.11']);
    await network.removeLease(lease(1), signal);
    expect(await network.taken(dhcp)).toEqual([]);
  });

  test('however much the server complains, its log takes little of the disk', async () => {
    await network.startDhcp(dhcp, signal);
    await appendFile(join(dhcp.directory, 'log/dnsmasq.log'), 'complaint\n'.repeat(300_000));
    expect(await network.dhcpRuns(dhcp)).toBe(true);
    expect((await stat(join(dhcp.directory, 'log/dnsmasq.log'))).blocks * 512).toBeLessThan(1 << 20);
    expect((await serverLog()).slice(-1_000)).toContain('complaint\n');
  });

  test('a reservation that changes is heard of', async () => {
    await network.startDhcp(dhcp, signal);
    await network.addLease(lease(1), signal);
    await network.addLease({ ...lease(1), mac: '52:54:00:00:00:77' }, signal);
    const guest = await plugGuest(1, '52:54:00:00:00:77');
    expect(await askDhcp(guest)).toBe('10.77.0.11');
  });

  test('a lease is given back while no server runs', async () => {
    await network.startDhcp(dhcp, signal);
    for (const n of [1, 2]) {
      await network.addLease(lease(n), signal);
      await askDhcp(await plugGuest(n, lease(n).mac));
    }
    await killServer();
    await network.removeLease(lease(1), signal);
    expect((await network.taken(dhcp)).map((t) => t.address)).toEqual(['10.77.0.12']);
    await network.startDhcp(dhcp, signal);
    await network.addLease({ ...lease(3), address: lease(1).address }, signal);
    expect(await askDhcp(await plugGuest(3, lease(3).mac))).toBe('10.77.0.11');
  });

  test('a lease is given back although the bridge has vanished', async () => {
    await network.startDhcp(dhcp, signal);
    await network.addLease(lease(1), signal);
    await askDhcp(await plugGuest(1, lease(1).mac));
    await network.removeBridge(bridge, signal);
    await network.removeLease(lease(1), signal);
    expect(await network.taken(dhcp)).toEqual([]);
  });

  test('a server that was killed is brought back, leases and reservations kept', async () => {
    await network.startDhcp(dhcp, signal);
    await network.addLease(lease(1), signal);
    const guest = await plugGuest(1, lease(1).mac);
    await askDhcp(guest);
    const before = await network.taken(dhcp);
    await killServer();
    expect(await network.dhcpRuns(dhcp)).toBe(false);
    expect(await network.taken(dhcp)).toEqual(before);
    await network.startDhcp(dhcp, signal);
    expect(await network.dhcpRuns(dhcp)).toBe(true);
    expect(await network.taken(dhcp)).toEqual(before);
    expect(await askDhcp(guest)).toBe('10.77.0.11');
  });

  test('a server that was stopped counts as none, and another takes its place', async () => {
    await network.startDhcp(dhcp, signal);
    const [before] = await servers();
    if (!before) throw new Error('there is no server');
    process.kill(before.pid, 'SIGSTOP');
    // It may be in the midst of something on another CPU.
    await expect.poll(() => network.dhcpRuns(dhcp)).toBe(false);
    await network.startDhcp(dhcp, signal);
    expect((await servers()).map(({ pid }) => pid)).not.toContain(before.pid);
    expect(await network.dhcpRuns(dhcp)).toBe(true);
  });

  test('another daemon takes over the server that runs', async () => {
    await network.startDhcp(dhcp, signal);
    const [before] = await servers();
    const next = newNetwork();
    expect(await next.dhcpRuns(dhcp)).toBe(true);
    await Promise.all([next.startDhcp(dhcp, signal), next.startDhcp(dhcp, signal)]);
    expect((await servers()).map((s) => s.pid)).toEqual([before?.pid]);
    await next.stopDhcp(dhcp, signal);
    expect(await network.dhcpRuns(dhcp)).toBe(false);
  });

  test('started twice at once, one server serves', async () => {
    await Promise.all([network.startDhcp(dhcp, signal), network.startDhcp(dhcp, signal)]);
    expect(await servers()).toHaveLength(1);
  });

  test('a server of other options, or bound to a bridge that is gone, is replaced', async () => {
    await network.startDhcp(dhcp, signal);
    const [first] = await servers();
    await network.removeBridge(bridge, signal);
    expect(await network.dhcpRuns(dhcp)).toBe(false);
    await network.addBridge(bridge, signal);
    expect(await network.dhcpRuns(dhcp)).toBe(false);
    await network.startDhcp(dhcp, signal);
    const [second] = await servers();
    expect(second?.pid).not.toBe(first?.pid);
    await network.addLease(lease(1), signal);
    expect(await askDhcp(await plugGuest(1, lease(1).mac))).toBe('10.77.0.11');
  });

  test('stopped twice, nothing of it is left', async () => {
    await network.startDhcp(dhcp, signal);
    await network.addLease(lease(1), signal);
    await network.stopDhcp(dhcp, signal);
    await network.stopDhcp(dhcp, signal);
    expect(await servers()).toEqual([]);
    expect(await readdir(directory)).toEqual([]);
  });

  test('a port that is taken is said at once, in the server’s words', async () => {
    const other = join(directory, 'other');
    const theirs = createNetwork({ run: host.run, living: host.living, processes: host.processes, files, clock, log });
    await theirs.startDhcp({ ...dhcp, directory: other }, signal);
    const began = Date.now();
    await expect(network.startDhcp(dhcp, signal)).rejects.toMatchObject({
      kind: 'tool',
      reason: 'NetworkFailed',
      message: expect.stringMatching(/dnsmasq ended and said: failed to .*Address already in use.*ss -lnup/),
    });
    expect(Date.now() - began).toBeLessThan(5_000);
    expect(await servers()).toEqual([]);
    await theirs.stopDhcp({ ...dhcp, directory: other }, signal);
    await network.startDhcp(dhcp, signal);
  });

  test('without its bridge it is not started, and an abort leaves no server', async () => {
    const abort = new AbortController();
    const interrupted = createNetwork({
      run: host.run,
      processes: {
        ...host.processes,
        async start(argv, options) {
          const started = await host.processes.start(argv, options);
          abort.abort(new Error('enough'));
          return started;
        },
      },
      files,
      clock,
      log,
    });
    await expect(interrupted.startDhcp(dhcp, abort.signal)).rejects.toThrow('enough');
    expect(await servers()).toEqual([]);
    await network.removeBridge(bridge, signal);
    await expect(network.startDhcp(dhcp, signal)).rejects.toMatchObject({
      kind: 'tool',
      message: expect.stringContaining('no bridge fltstbr'),
    });
    expect(await servers()).toEqual([]);
  });

  const servers = () => host.processes.find((argv) => argv.includes(`--dhcp-hostsdir=${dhcp.directory}/hosts`));
  const serverLog = () => readFile(join(dhcp.directory, 'log/dnsmasq.log'), 'utf8');
  const killServer = async (): Promise<void> => {
    for (const server of await servers()) {
      await host.processes.signal(server, () => true, 'SIGKILL');
      await host.processes.ended(server, AbortSignal.timeout(5_000));
    }
  };
});
