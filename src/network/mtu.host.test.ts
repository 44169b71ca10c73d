import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { plugPeer } from '../../test/support/peer.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const own = { bridge: 'fltstbr', alias: 'flintlock:tst:host', address: '10.77.0.1/24' };
const tapOn = (bridge: string, n = 0) => ({ device: `fltstabcde${n}`, bridge, alias: 'flintlock:tst:uid=1' });

let host: Netns;
let peers: Netns[];
let network: ReturnType<typeof createNetwork>;

beforeEach(async () => {
  peers = [];
  host = await createNetns();
  network = createNetwork({ run: host.run, living: host.living, processes: host.processes, files, clock, log });
});
afterEach(async () => {
  for (const netns of [...peers, host]) await netns[Symbol.asyncDispose]();
});

const sh = (netns: Netns, ...argv: [string, ...string[]]) => netns.run(argv, { signal, timeoutMs: 20_000 });
const mtuOf = async (device: string): Promise<number | undefined> =>
  (await network.interfaces(signal)).find((one) => one.device === device)?.mtu;
const link = (...words: string[]) => sh(host, 'ip', 'link', ...words);

test('a bridge of the host keeps its MTU when a guest comes, whichever it is, and the tap follows it', async () => {
  await link('add', 'br0', 'type', 'bridge');
  await link('add', 'nic0', 'mtu', '9000', 'type', 'veth', 'peer', 'name', 'nic1');
  await link('set', 'nic0', 'master', 'br0');
  expect(await mtuOf('br0')).toBe(9_000); // as its port has it
  await network.addTap(tapOn('br0'), signal);
  await network.addTap(tapOn('br0'), signal);
  expect([await mtuOf('br0'), await mtuOf('fltstabcde0'), await mtuOf('nic0')]).toEqual([9_000, 9_000, 9_000]);

  await link('set', 'br0', 'mtu', '1400'); // by an administrator
  await network.addTap(tapOn('br0', 1), signal);
  const taps = [tapOn('br0'), tapOn('br0', 1)];
  expect(await network.fitMtus(undefined, taps, signal)).toEqual([{ device: 'fltstabcde0', mtu: 1_400 }]);
  expect(await network.fitMtus(undefined, taps, signal)).toEqual([]);
  expect([await mtuOf('br0'), await mtuOf('fltstabcde1'), await mtuOf('nic0')]).toEqual([1_400, 1_400, 9_000]);
  // What is not ours, or not there, is left.
  const other = { ...tapOn('br0'), alias: 'flintlock:else:uid=1' };
  await link('set', 'br0', 'mtu', '1300');
  expect(await network.fitMtus('nope', [other, tapOn('br0', 7)], signal)).toEqual([]);
});

test('a bridge of the host keeps the MAC address that it has of its ports', async () => {
  const [mac, macOf] = [
    '72:54:00:aa:bb:cc',
    async (device: string) => (await network.interfaces(signal)).find((one) => one.device === device)?.mac,
  ];
  await link('add', 'br0', 'type', 'bridge');
  await link('add', 'nic0', 'address', mac, 'type', 'veth', 'peer', 'name', 'nic1');
  await link('set', 'nic0', 'master', 'br0');
  // It takes the least of all: the host would be known by another from one moment to the next.
  for (let n = 0; n < 8; n++) {
    await network.addTap(tapOn('br0', n), signal);
    expect(await macOf('br0')).toBe(mac);
  }
  expect(await macOf('fltstabcde0')).not.toBe(await macOf('fltstabcde1'));
});

test('our own network has that of the way out, at most 1500, and guests are told it by DHCP', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'fl-mtu-'));
  await chmod(directory, 0o711);
  const dhcp = { directory: join(directory, 'dhcp'), bridge: own.bridge, cidr: '10.77.0.0/24', gateway: '10.77.0.1' };
  try {
    await link('add', 'up0', 'mtu', '1400', 'type', 'veth', 'peer', 'name', 'up1');
    await sh(host, 'ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'up0');
    for (const device of ['up0', 'up1']) await link('set', device, 'up');
    await sh(host, 'ip', 'route', 'add', 'default', 'via', '192.0.2.2');
    await network.addBridge(own, signal);
    await network.addTap(tapOn(own.bridge), signal);
    expect([await mtuOf(own.bridge), await mtuOf('fltstabcde0')]).toEqual([1_400, 1_400]);

    await network.startDhcp(dhcp, signal);
    const mac = '52:54:00:00:00:01';
    const lease = { directory: dhcp.directory, file: 'vm1', bridge: own.bridge, mac, address: '10.77.0.11' };
    await network.addLease({ ...lease, hostname: 'one' }, signal);
    const guest = await plugPeer(host, { bridge: own.bridge, port: 'port1', mac });
    peers.push(guest);
    const script = join(directory, 'said.sh');
    await writeFile(script, '#!/bin/sh\n[ "$1" != bound ] || echo "mtu=$mtu"\n', { mode: 0o755 });
    const told = () =>
      sh(guest, 'busybox', 'udhcpc', '-i', 'eth0', '-f', '-n', '-q', '-t', '10', '-T', '1', '-O', 'mtu', '-s', script);
    expect(await told()).toContain('mtu=1400');

    // A tunnel comes up; later the cable allows for more than Ethernet.
    for (const [mtu, now] of [
      ['1280', 1_280],
      ['9000', 1_500],
    ] as const) {
      await link('set', 'up0', 'mtu', mtu);
      expect(await network.dhcpRuns(dhcp)).toBe(true);
      const changed = await network.fitMtus(own.bridge, [tapOn(own.bridge)], signal);
      expect(changed.map((one) => one.mtu)).toEqual([now, now]);
      expect(await network.dhcpRuns(dhcp)).toBe(false); // it tells the old one
      await network.startDhcp(dhcp, signal);
      expect([await mtuOf(own.bridge), await mtuOf('fltstabcde0')]).toEqual([now, now]);
    }
    expect(await told()).toContain('mtu=\n');
    // The route may have a limit of its own, and there may be another way, as of a VPN that has half of all.
    await sh(host, 'ip', 'route', 'replace', 'default', 'via', '192.0.2.2', 'mtu', '1450');
    await network.fitMtus(own.bridge, [], signal);
    expect(await mtuOf(own.bridge)).toBe(1_450);
    await link('add', 'vpn0', 'mtu', '1420', 'type', 'veth', 'peer', 'name', 'vpn1');
    await link('set', 'vpn0', 'up');
    await sh(host, 'ip', 'route', 'add', '128.0.0.0/1', 'dev', 'vpn0', 'table', '51820');
    await network.fitMtus(own.bridge, [], signal);
    expect(await mtuOf(own.bridge)).toBe(1_420);
  } finally {
    await network.stopDhcp(dhcp, signal);
    await rm(directory, { recursive: true });
  }
});
