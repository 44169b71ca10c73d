import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  arp,
  arriving,
  BROADCAST,
  bytes,
  dhcp,
  frame,
  hearing,
  ipv4,
  marked,
  send,
  snapped,
  u16,
  udp,
} from '../../test/support/frames.ts';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { askForAddress, ping, plugPeer } from '../../test/support/peer.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { DhcpIntent, LeaseIntent } from '../ports/network.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const bridge = { bridge: 'fltstbr', alias: 'flintlock:tst:host', address: '10.77.0.1/24' };
const guards = { table: 'flintlock_tst', prefix: 'fltst' };
const macOf = (n: number): string => `52:54:00:00:00:0${n}`;
const addressOf = (n: number): string => `10.77.0.${10 + n}`;
const [ROGUE, VICTIM] = [1, 2];

let host: Netns;
let peers: Netns[];
let network: ReturnType<typeof createNetwork>;
let directory: string;
let server: DhcpIntent;

beforeEach(async () => {
  peers = [];
  host = await createNetns();
  directory = await mkdtemp(join(tmpdir(), 'fl-hostile-'));
  await chmod(directory, 0o711);
  server = { directory: join(directory, 'dhcp'), bridge: bridge.bridge, cidr: '10.77.0.0/24', gateway: '10.77.0.1' };
  network = createNetwork({ run: host.run, living: host.living, processes: host.processes, files, clock, log });
  await network.addBridge(bridge, signal);
  await network.addGuards(guards, signal);
  // br_netfilter cuts off what is behind an IPv4 packet, and with it the names of the frames.
  for (const family of ['ip', 'ip6']) {
    const setting = `/proc/sys/net/bridge/bridge-nf-call-${family}tables`;
    await sh(host, 'sh', '-c', `[ ! -e ${setting} ] || echo 0 >${setting}`);
  }
});
afterEach(async () => {
  await network.stopDhcp(server, signal);
  for (const netns of [...peers, host]) await netns[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const sh = (netns: Netns, ...argv: [string, ...string[]]) => netns.run(argv, { signal, timeoutMs: 20_000 });

/** @param kind - on the managed network, or on a bridge where addresses are not ours to give */
async function guest(n: number, kind: 'managed' | 'attached' = 'managed'): Promise<Netns> {
  const device = `fltstport${n}`;
  const guard = { table: guards.table, device, mac: macOf(n) };
  await network.addGuard(kind === 'managed' ? { ...guard, address: addressOf(n) } : guard, signal);
  const peer = await plugPeer(host, { bridge: bridge.bridge, port: device, mac: macOf(n) });
  peers.push(peer);
  return peer;
}
const plugBoth = async (kind?: 'managed' | 'attached'): Promise<readonly [Netns, Netns]> => [
  await guest(ROGUE, kind),
  await guest(VICTIM, kind),
];

const mine = { from: macOf(ROGUE), to: macOf(VICTIM) };
const toAll = { from: macOf(ROGUE), to: BROADCAST };
/** An honest request for the neighbour's MAC address. */
const honest = arp(toAll, { sender: [macOf(ROGUE), addressOf(ROGUE)], target: [macOf(9), addressOf(VICTIM)] });
const from = (address: string, fields = {}) => ({ from: address, to: addressOf(VICTIM), ...fields });
const ip = (packet: Uint8Array, ethernet = mine): Uint8Array => frame(ethernet, 0x0800, packet);
/** As a tag of IEEE 802.1Q would lead it to network 5. */
const tagged = (tag: number, [...plain]: Uint8Array, network = 5): Uint8Array =>
  bytes(plain.slice(0, 12), u16(tag), u16(network), plain.slice(12));
const logFile = (): string => join(directory, 'heard.log');

describe('what a guest says to its neighbours', () => {
  const NOTHING = bytes('0102');
  const offer = dhcp({ operation: 2, type: 2, mac: macOf(VICTIM), options: '03 04 0a 4d 00 0b' });
  const dns = bytes('0000 8400 0000 0001 0000 0000 0377 6562 056c 6f63 616c 00 0001 0001 00000078 0004 0a4d000b');
  const own = (fields = {}) => from(addressOf(ROGUE), fields);

  /** None of them is a guest's to say on the managed network. */
  const forged: Readonly<Record<string, Uint8Array>> = {
    'another mac': ip(ipv4(own(), udp(9, 9, NOTHING)), { ...mine, from: macOf(7) }),
    'another address': ip(ipv4(from(addressOf(7)), udp(9, 9, NOTHING))),
    'the gateways address': ip(ipv4(from('10.77.0.1'), udp(53, 4000, dns))),
    'the metadata address': ip(ipv4(from('169.254.169.254', { protocol: 6 }), bytes(new Uint8Array(20)))),
    'later piece of another address': ip(ipv4(from(addressOf(7), { fragment: 0x2001 }), NOTHING)),
    'options and another address': ip(ipv4(from(addressOf(7), { options: '94040000' }), udp(9, 9, NOTHING))),
    'loose source route': ip(ipv4(own({ options: '8307040a4d000100' }), udp(9, 9, NOTHING))),
    'strict source route': ip(ipv4(own({ options: '8907040a4d000100' }), udp(9, 9, NOTHING))),
    'gratuitous arp for the gateway': arp(toAll, {
      operation: 2,
      sender: [macOf(1), '10.77.0.1'],
      target: [BROADCAST, '10.77.0.1'],
    }),
    'arp for the metadata address': arp(mine, {
      operation: 2,
      sender: [macOf(1), '169.254.169.254'],
      target: [macOf(2), addressOf(2)],
    }),
    'arp for the neighbour': arp(toAll, { sender: [macOf(1), addressOf(2)], target: [BROADCAST, addressOf(2)] }),
    'arp with another mac inside': arp(toAll, { sender: [macOf(7), addressOf(1)], target: [BROADCAST, '10.77.0.1'] }),
    'arp probe of the neighbours address': arp(toAll, {
      sender: [macOf(1), '0.0.0.0'],
      target: ['00:00:00:00:00:00', addressOf(2)],
    }),
    'arp of another kind': arp(toAll, {
      head: [6, 0x0800, 6, 4],
      sender: [macOf(1), addressOf(1)],
      target: [BROADCAST, '10.77.0.1'],
    }),
    'arp of other lengths': arp(toAll, {
      head: [1, 0x0800, 6, 16],
      sender: [macOf(1), addressOf(1)],
      target: [BROADCAST, '10.77.0.1'],
    }),
    'inverse arp': arp(toAll, { operation: 9, sender: [macOf(1), addressOf(1)], target: [macOf(2), addressOf(2)] }),
    'reverse arp': frame(
      toAll,
      0x8035,
      bytes(u16(1), u16(0x800), [6, 4], u16(4), macOf(1), [10, 77, 0, 1], macOf(2), [10, 77, 0, 66]),
    ),
    'dhcp offer': ip(ipv4(own(), udp(67, 68, offer))),
    'dhcp offer from another port': ip(ipv4(own(), udp(1234, 68, offer))),
    'dhcp offer to all': ip(ipv4({ from: addressOf(1), to: '255.255.255.255' }, udp(68, 68, offer)), toAll),
    'dhcp offer behind options': ip(ipv4(own({ options: '0101010194040000' }), udp(1234, 68, offer))),
    'dhcp offer in pieces': ip(ipv4(own({ fragment: 0x2000 }), udp(1234, 68, offer.subarray(0, 8)))),
    'dhcp offer from nobody': ip(ipv4({ from: '0.0.0.0', to: '255.255.255.255' }, udp(67, 68, offer)), toAll),
    'router advertisement': frame(
      { ...mine, to: '33:33:00:00:00:01' },
      0x86dd,
      bytes(
        '6000 0000 0010 3aff fe80 0000 0000 0000 5054 00ff fe00 0001 ff02 0000 0000 0000 0000 0000 0000 0001',
        '8600 0000 4000 0708 0000 0000 0000 0000',
      ),
    ),
    'neighbour advertisement': frame(
      mine,
      0x86dd,
      bytes(
        '6000 0000 0020 3aff fe80 0000 0000 0000 5054 00ff fe00 0001 fe80 0000 0000 0000 5054 00ff fe00 0002',
        '8800 0000 6000 0000 fe80 0000 0000 0000 0000 0000 0000 0001 0201',
        macOf(1),
      ),
    ),
    'dhcpv6 answer': frame(
      mine,
      0x86dd,
      bytes(
        '6000 0000 000c 11ff fe80 0000 0000 0000 5054 00ff fe00 0001 fe80 0000 0000 0000 5054 00ff fe00 0002',
        udp(547, 546, bytes('07 000001')),
      ),
    ),
    'multicast dns': ip(ipv4({ from: addressOf(1), to: '224.0.0.251' }, udp(5353, 5353, dns)), {
      ...mine,
      to: '01:00:5e:00:00:fb',
    }),
    'multicast dns to one': ip(ipv4({ from: addressOf(1), to: '224.0.0.251' }, udp(5353, 5353, dns))),
    'multicast dns by unicast': ip(ipv4(own(), udp(5353, 5353, dns))),
    llmnr: ip(ipv4({ from: addressOf(1), to: '224.0.0.252' }, udp(5355, 5355, dns)), {
      ...mine,
      to: '01:00:5e:00:00:fc',
    }),
    'llmnr answer': ip(ipv4(own(), udp(5355, 40_000, dns))),
    netbios: ip(ipv4({ from: addressOf(1), to: '10.77.0.255' }, udp(137, 137, NOTHING)), toAll),
    'tag of a network': tagged(0x8100, ip(ipv4(own(), udp(9, 9, NOTHING)))),
    'tag of a service': tagged(0x88a8, ip(ipv4(own(), udp(9, 9, NOTHING)))),
    'two tags': tagged(0x88a8, tagged(0x8100, ip(ipv4(own(), udp(9, 9, NOTHING))))),
    'tagged arp': tagged(0x8100, arp(toAll, { sender: [macOf(1), '10.77.0.1'], target: [BROADCAST, '10.77.0.1'] })),
    'tag of no network': tagged(
      0x8100,
      arp(toAll, { sender: [macOf(1), '10.77.0.1'], target: [BROADCAST, '10.77.0.1'] }),
      0,
    ),
    'tag of a service before the standard': tagged(0x9100, ip(ipv4(own(), udp(9, 9, NOTHING)))),
    'arp packed by snap': snapped(arp(toAll, { sender: [macOf(7), '10.77.0.1'], target: [BROADCAST, '10.77.0.1'] })),
    'ipv4 packed by snap': snapped(ip(ipv4(from(addressOf(7)), udp(9, 9, NOTHING)))),
    'ipv4 in ipv6': frame(
      mine,
      0x86dd,
      bytes(
        '6000 0000 001e 04ff fe80 0000 0000 0000 5054 00ff fe00 0001 fe80 0000 0000 0000 5054 00ff fe00 0002',
        ipv4(from(addressOf(7)), udp(9, 9, NOTHING)),
      ),
    ),
    'ipv6 in the type of ipv4': frame(mine, 0x0800, bytes('6000 0000 0000 3bff', new Uint8Array(32))),
    'ipv4 in the type of arp': frame(toAll, 0x0806, ipv4(from(addressOf(7)), udp(9, 9, NOTHING))),
    'router advertisement of ipv4': ip(
      ipv4(
        { from: addressOf(1), to: '224.0.0.1', protocol: 1 },
        bytes('0900 0000 01 02 0708', [10, 77, 0, 11], '7fffffff'),
      ),
      { ...mine, to: '01:00:5e:00:00:01' },
    ),
    'redirect to itself': ip(
      ipv4(
        own({ protocol: 1 }),
        bytes('0501 0000', [10, 77, 0, 11], ipv4({ from: addressOf(2), to: '192.0.2.9' }, udp(9, 9, NOTHING))),
      ),
    ),
    'point to point over ethernet': frame(toAll, 0x8863, bytes('1107 0000 0004 0101 0000')),
    'spanning tree': frame(
      { ...mine, to: '01:80:c2:00:00:00' },
      0x0026,
      bytes('424203 0000 00 00 00 8000 525400000001 00000000 8000 525400000001 8001 0000 1400 0200 0f00'),
    ),
    'switch discovery': frame(
      { ...mine, to: '01:80:c2:00:00:0e' },
      0x88cc,
      bytes('0207 04 525400000001 0403 05 31 32 0602 0078 0000'),
    ),
    'port access': frame({ ...mine, to: '01:80:c2:00:00:03' }, 0x888e, bytes('01010000')),
    'a protocol nobody knows': frame(mine, 0x9999, NOTHING),
  };

  test('passes as itself only, on the managed network', async () => {
    const both = await plugBoth();
    const fair = {
      'own address': ip(ipv4(own(), udp(9, 9, NOTHING))),
      'own address behind options': ip(ipv4(own({ options: '94040000' }), udp(9, 9, NOTHING))),
      'own piece': ip(ipv4(own({ fragment: 0x2001 }), NOTHING)),
      'own arp': arp(mine, { operation: 2, sender: [macOf(1), addressOf(1)], target: [macOf(2), addressOf(2)] }),
      'own probe': arp(toAll, { sender: [macOf(1), '0.0.0.0'], target: ['00:00:00:00:00:00', addressOf(1)] }),
      'service at the port of multicast dns': ip(ipv4(own(), udp(5353, 40_000, dns))),
    };
    expect(await arriving(both, { ...forged, ...fair }, honest, logFile())).toEqual(Object.keys(fair).sort());
    // So it was the guard, where the bridge itself passes such a frame on.
    await network.removeGuards(guards, signal);
    const heard = await arriving(both, { ...forged, ...fair }, honest, logFile());
    expect(Object.keys({ ...forged, ...fair }).filter((name) => !heard.includes(name))).toEqual([
      'switch discovery',
      'port access',
    ]);
  });

  test('on a bridge of others it may not be another either, nor speak to the switches behind', async () => {
    const both = await plugBoth('attached');
    const request = (mac: string, fields = {}) => dhcp({ type: 3, mac, options: '3204 0a4d 000c', ...fields });
    const discover = (packet: Uint8Array, fields = {}) =>
      ip(ipv4({ from: '0.0.0.0', to: '255.255.255.255', ...fields }, udp(68, 67, packet)), toAll);
    const never = {
      'another mac': forged['another mac'] ?? NOTHING,
      'arp with another mac inside': forged['arp with another mac inside'] ?? NOTHING,
      'tag of a network': forged['tag of a network'] ?? NOTHING,
      'tag of no network': forged['tag of no network'] ?? NOTHING,
      'tag of a service before the standard': forged['tag of a service before the standard'] ?? NOTHING,
      'arp packed by snap': forged['arp packed by snap'] ?? NOTHING,
      'two tags': forged['two tags'] ?? NOTHING,
      'spanning tree': forged['spanning tree'] ?? NOTHING,
      'dhcp of another': discover(request(macOf(2))),
      'dhcp of another in pieces': discover(request(macOf(1)).subarray(0, 24), { fragment: 0x2000 }),
      'dhcp cut short': discover(request(macOf(1)).subarray(0, 30)),
      'dhcp of a longer address': discover(request(macOf(1), { hardwareLength: 7 })),
    };
    const fair = {
      'dhcp of its own': discover(request(macOf(1))),
      'dhcp behind options': discover(request(macOf(1)), { options: '94040000' }),
      'an address that it chose': ip(ipv4(from(addressOf(7)), udp(9, 9, NOTHING))),
    };
    expect(await arriving(both, { ...never, ...fair }, honest, logFile())).toEqual(Object.keys(fair).sort());
  });

  test('does not take part in what a bridge itself takes part in', async () => {
    const [rogue] = await plugBoth('attached');
    const access = forged['port access'] ?? NOTHING;
    // Where a program of the host would have it from: what the bridge does not pass on is given on as the port's own.
    const port = { netns: host, interface: 'fltstport1', protocol: 0x888e, log: logFile() };
    const heard = await hearing(port, async () => {
      await send(rogue, [marked('guarded', access)]);
      await network.removeGuards(guards, signal);
      await send(rogue, [marked('last', access)]);
    });
    expect(heard).toEqual([]);
    // Spanning tree runs in the first network namespace only, and no hook sees what goes there.
    await network.addTap({ device: 'fltsttap0', bridge: bridge.bridge, alias: 'flintlock:tst:uid=1' }, signal);
    expect(await sh(host, 'ip', '-j', '-d', 'link', 'show', 'dev', 'fltsttap0')).toContain('"guard":true');
  });
});

describe('what a guest says to the DHCP server', () => {
  const lease = (n: number): LeaseIntent => ({
    directory: server.directory,
    file: `vm${n}-eth0`,
    bridge: bridge.bridge,
    mac: macOf(n),
    address: addressOf(n),
    hostname: `vm-${n}`,
  });
  const taken = async (): Promise<readonly string[]> =>
    (await network.taken(server)).map(({ mac, address }) => `${mac} ${address}`).sort();
  const ask = (netns: Netns, ...options: string[]): Promise<string> =>
    sh(
      netns,
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
      ...options,
    );

  beforeEach(async () => {
    await network.startDhcp(server, signal);
    for (const n of [ROGUE, VICTIM]) await network.addLease(lease(n), signal);
  });

  test('ends no lease of a neighbour, takes none, and is given no name', async () => {
    const [rogue, victim] = await plugBoth();
    expect(await askForAddress(victim, directory)).toBe(addressOf(VICTIM));
    const serverId = '36 04 0a 4d 00 01';
    const wanted = '32 04 0a 4d 00 0c'; // the neighbour's address
    const id = `3d 07 01 ${macOf(VICTIM)}`; // its client identifier
    const to = (packet: Uint8Array, fields: { from?: string; fragment?: number; options?: string } = {}, port = 68) =>
      ip(ipv4({ from: addressOf(ROGUE), to: '10.77.0.1', ...fields }, udp(port, 67, packet)), toAll);
    const release = (mac: string, fields = {}) =>
      dhcp({ type: 7, mac, address: addressOf(VICTIM), options: serverId, ...fields });
    const pieces = release(macOf(VICTIM));
    await send(rogue, [
      to(release(macOf(VICTIM))),
      to(release(macOf(VICTIM)), { from: '0.0.0.0' }),
      to(release(macOf(VICTIM)), { from: addressOf(VICTIM) }),
      to(release(macOf(VICTIM)), { options: '94040000' }),
      to(release(macOf(VICTIM)), {}, 4000),
      to(release(macOf(ROGUE), { options: `${serverId} ${id}` })),
      to(release(macOf(VICTIM), { hardwareLength: 16 })),
      // In two pieces: the hardware address is in the second.
      ip(
        ipv4({ from: addressOf(ROGUE), to: '10.77.0.1', fragment: 0x2000 }, udp(68, 67, pieces).subarray(0, 24)),
        toAll,
      ),
      ip(ipv4({ from: addressOf(ROGUE), to: '10.77.0.1', fragment: 3 }, udp(68, 67, pieces).subarray(24)), toAll),
      to(dhcp({ type: 4, mac: macOf(VICTIM), options: `${serverId} ${wanted}` })),
      to(dhcp({ type: 4, mac: macOf(ROGUE), options: `${serverId} ${wanted} ${id}` })),
      to(dhcp({ type: 3, mac: macOf(ROGUE), options: `${wanted} ${serverId} ${id}` })),
      to(dhcp({ type: 1, mac: macOf(VICTIM), relay: addressOf(ROGUE) }), {}, 67),
    ]);
    // A guest that calls itself as its neighbour does, by identifier and by name.
    await ask(rogue, '-x', `0x3d:01${macOf(VICTIM).replaceAll(':', '')}`, '-x', 'hostname:vm-2', '-F', 'vm-2');
    expect(await taken()).toEqual([`${macOf(ROGUE)} ${addressOf(ROGUE)}`, `${macOf(VICTIM)} ${addressOf(VICTIM)}`]);
    expect(await askForAddress(victim, directory)).toBe(addressOf(VICTIM)); // and it is renewed
    const answer = await sh(victim, 'busybox', 'nslookup', 'vm-2.flintlock.internal', '10.77.0.1');
    expect(answer).toContain(addressOf(VICTIM));
    expect(answer).not.toContain(addressOf(ROGUE));
    expect(await readFile(join(server.directory, 'log/dnsmasq.log'), 'utf8')).not.toMatch(/disabling|not using/);
    expect(await askForAddress(rogue, directory)).toBe(addressOf(ROGUE));
    expect(await ping(rogue, addressOf(VICTIM))).toBe(true);
  });

  test('under many hardware addresses takes no lease but its own', async () => {
    const [rogue] = await plugBoth();
    const discover = (n: number): Uint8Array => {
      const mac = `52:54:00:00:01:${n.toString(16).padStart(2, '0')}`;
      const packet = udp(68, 67, dhcp({ type: 1, mac }));
      return ip(ipv4({ from: '0.0.0.0', to: '255.255.255.255' }, packet), toAll);
    };
    await send(
      rogue,
      Array.from({ length: 200 }, (_, n) => discover(n)),
    );
    expect(await askForAddress(rogue, directory)).toBe(addressOf(ROGUE));
    expect(await taken()).toEqual([`${macOf(ROGUE)} ${addressOf(ROGUE)}`]);
  });
});
