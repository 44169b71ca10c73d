import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { ping, plugPeer } from '../../test/support/peer.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const guards = { table: 'flintlock_tst', prefix: 'fltst' };
const bridge = { bridge: 'fltstbr', alias: 'flintlock:tst:host', address: '10.77.0.1/24' };
const guard = (n: number) => ({
  table: guards.table,
  device: `fltstport${n}`,
  mac: `52:54:00:00:00:0${n}`,
  address: `10.77.0.${10 + n}`,
});

let host: Netns;
let peers: Netns[];
let network: ReturnType<typeof createNetwork>;

beforeEach(async () => {
  peers = [];
  host = await createNetns();
  network = createNetwork({ run: host.run, living: host.living, processes: host.processes, files, clock, log });
  await network.addBridge(bridge, signal);
});
afterEach(async () => {
  for (const netns of [...peers, host]) await netns[Symbol.asyncDispose]();
});

const sh = (netns: Netns, ...argv: [string, ...string[]]) => netns.run(argv, { signal, timeoutMs: 20_000 });

async function plug(n: number): Promise<Netns> {
  const peer = await plugPeer(host, { bridge: bridge.bridge, port: guard(n).device, mac: guard(n).mac });
  peers.push(peer);
  await sh(peer, 'ip', 'addr', 'add', `${guard(n).address}/24`, 'dev', 'eth0');
  return peer;
}

describe('guards', () => {
  test('an honest guest is heard; one that takes a MAC or address that is not its own is not', async () => {
    await network.addGuards(guards, signal);
    await network.addGuard(guard(1), signal);
    await network.addGuard(guard(1), signal);
    await network.addGuard(guard(2), signal);
    const [one, two] = [await plug(1), await plug(2)];
    expect(await ping(one, '10.77.0.1')).toBe(true);
    expect(await ping(one, guard(2).address)).toBe(true);

    await sh(one, 'ip', 'addr', 'add', '10.77.0.99/24', 'dev', 'eth0');
    await sh(one, 'ip', 'addr', 'del', `${guard(1).address}/24`, 'dev', 'eth0');
    expect(await ping(one, '10.77.0.1')).toBe(false);

    await sh(two, 'ip', 'link', 'set', 'eth0', 'address', '52:54:00:00:00:99');
    expect(await ping(two, '10.77.0.1')).toBe(false);
    await sh(two, 'ip', 'link', 'set', 'eth0', 'address', guard(2).mac);
    expect(await ping(two, '10.77.0.1')).toBe(true);
  });

  test('a port without a guard passes nothing, another bridge’s is left alone', async () => {
    await network.addGuards(guards, signal);
    const one = await plug(1);
    expect(await ping(one, '10.77.0.1')).toBe(false);
    await sh(host, 'ip', 'link', 'set', guard(1).device, 'down');
    await sh(host, 'ip', 'link', 'set', guard(1).device, 'name', 'other0', 'up');
    expect(await ping(one, '10.77.0.1')).toBe(true);
  });

  test('a guest does not answer DHCP', async () => {
    await network.addGuards(guards, signal);
    for (const n of [1, 2]) await network.addGuard(guard(n), signal);
    const [rogue, victim] = [await plug(1), await plug(2)];
    const directory = await mkdtemp(join(tmpdir(), 'fl-guard-'));
    try {
      const config = join(directory, 'udhcpd.conf');
      const [lines, leases] = [['start 10.77.0.50', 'end 10.77.0.60', 'interface eth0'], join(directory, 'leases')];
      await writeFile(config, `${[...lines, `lease_file ${leases}`, `pidfile ${directory}/pid`].join('\n')}\n`);
      const server = await rogue.processes.start(['busybox', 'udhcpd', '-f', '-S', config], {
        log: join(directory, 'log'),
      });
      const ask = () =>
        sh(victim, 'busybox', 'udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-t', '3', '-T', '1', '-s', '/bin/true');
      try {
        await expect(ask()).rejects.toThrow('no lease');
        await network.removeGuards(guards, signal);
        await ask(); // so it was the guard
      } finally {
        await rogue.processes.signal(server.identity, (argv) => argv.includes(config), 'SIGKILL');
        await server.exited;
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('those of a version that knew nothing of DHCP messages are completed', async () => {
    await network.addGuards(guards, signal);
    await network.addGuard(guard(1), signal);
    const whole = await sh(host, 'nft', 'list', 'ruleset');
    const rules = ['prerouting', 'dhcp-clients'].map((chain) => `flush chain bridge ${guards.table} ${chain}`);
    await sh(host, 'nft', [...rules, `delete set bridge ${guards.table} clients`].join('; '));
    await network.addGuards(guards, signal);
    const sorted = (text: string): string => text.split('\n').sort().join('\n');
    expect(sorted(await sh(host, 'nft', 'list', 'ruleset'))).toBe(sorted(whole));
  });

  test('set again they keep what they hold; removed twice nothing is left', async () => {
    await network.addGuards(guards, signal);
    await network.addGuard(guard(1), signal);
    const before = await sh(host, 'nft', 'list', 'ruleset');
    await network.addGuards(guards, signal);
    expect(await sh(host, 'nft', 'list', 'ruleset')).toBe(before);

    await network.addGuard(guard(2), signal);
    await network.removeGuard(guard(2), signal);
    await network.removeGuard(guard(2), signal);
    expect(await sh(host, 'nft', 'list', 'ruleset')).toBe(before);

    await network.removeGuards(guards, signal);
    await network.removeGuards(guards, signal);
    await network.removeGuard(guard(1), signal);
    expect(await network.tables(signal)).toEqual([]);
  });
});

describe('surroundings', () => {
  const wish = { cidr: '10.77.0.0/24', bridge: 'fltstbr' };

  test('its own bridge is no overlap; another route is, and is named with the remedy', async () => {
    expect(await network.overlaps(wish, signal)).toBeUndefined();
    await sh(host, 'ip', 'link', 'add', 'vpn0', 'type', 'veth', 'peer', 'name', 'vpn1');
    await sh(host, 'ip', 'link', 'set', 'vpn0', 'up');
    await sh(host, 'ip', 'route', 'add', 'default', 'dev', 'vpn0');
    await sh(host, 'ip', 'route', 'add', '0.0.0.0/1', 'dev', 'vpn0');
    expect(await network.overlaps(wish, signal)).toBeUndefined();
    await sh(host, 'ip', 'route', 'add', '10.64.0.0/12', 'dev', 'vpn0', 'table', '123');
    expect(await network.overlaps(wish, signal)).toMatch(
      /^10\.77\.0\.0\/24 overlaps the host's route .*10\.64\.0\.0\/12 dev vpn0.*--managed-network/,
    );
    expect(await network.overlaps({ ...wish, cidr: 'x' }, signal)).toContain('not a network');
    expect(await network.freeCidr('fltstbr', signal)).toBe('10.80.0.0/24');
  });

  test('the network that the bridge has is kept, else the first free one is taken', async () => {
    expect(await network.freeCidr('fltstbr', signal)).toBe('10.77.0.0/24');
    expect(await network.freeCidr('fltst2br', signal)).toBe('10.78.0.0/24');
    await network.addBridge({ ...bridge, address: '10.81.0.1/24' }, signal);
    expect(await network.freeCidr('fltstbr', signal)).toBe('10.81.0.0/24');
  });

  test('a firewall that drops what is forwarded is named with the remedy', async () => {
    await network.addFirewall({ table: 'flintlock_tst', bridge: 'fltstbr', cidr: wish.cidr }, signal);
    expect(await network.forwardingBlocked('fltstbr', signal)).toBeUndefined();
    await sh(
      host,
      'nft',
      'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }',
    );
    expect(await network.forwardingBlocked('fltstbr', signal)).toMatch(
      /ip filter FORWARD .*iptables -I FORWARD -i fltstbr/,
    );
    await sh(host, 'nft', 'add chain ip filter DOCKER-USER');
    expect(await network.forwardingBlocked('fltstbr', signal)).toContain(
      'iptables -I DOCKER-USER -o fltstbr -j ACCEPT',
    );
  });
});
