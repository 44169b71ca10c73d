import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  arp,
  arriving,
  BROADCAST,
  bytes,
  type DhcpMessage,
  dhcp,
  frame,
  type Ipv4,
  ipv4,
  snapped,
  u16,
  udp,
} from '../../test/support/frames.ts';
import { plugGuest } from '../../test/support/macvtap-guest.ts';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { ping } from '../../test/support/peer.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { StartedProcess } from '../ports/host.ts';
import type { MacvtapIntent } from '../ports/network.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const SERVICE = '169.254.169.254';
const [table, parent, address, routes] = ['flintlock_tst_macvtap', 'par', '127.77.1.1', 3_000_007];
const guards = { table };
const alias = 'flintlock:tst:uid=1';
const path = { table, device: 'fltstmd', parent, alias: 'flintlock:tst:macvtap', address, routes };

let host: Netns;
/** A machine on the parent's network, at 192.0.2.1. */
let wire: Netns;
let network: ReturnType<typeof createNetwork>;
let directory: string;
let guests: Netns[];
let started: { readonly netns: Netns; readonly process: StartedProcess }[];
/** Names on the whole machine, where tests run beside each other. */
let prefix: string;

/** Whether the host drops what it would answer by another way. */
async function checkSources(value: '0' | '1', devices: readonly string[] = []): Promise<void> {
  const names = ['all', ...devices].map((name) => `/proc/sys/net/ipv4/conf/${name}/rp_filter`);
  await host.run(['tee', ...names], { signal, timeoutMs: 5_000, input: `${value}\n` });
}

const sh = (netns: Netns, ...argv: [string, ...string[]]) => netns.run(argv, { signal, timeoutMs: 20_000 });

beforeEach(async () => {
  [guests, started] = [[], []];
  directory = await mkdtemp(join(tmpdir(), 'fl-mv-'));
  host = await createNetns();
  wire = await createNetns();
  prefix = `flt${String(host.pid % 1_000_000)}`;
  network = createNetwork({ run: host.run, living: host.living, processes: host.processes, files, clock, log });
  await sh(host, 'ip', 'link', 'add', parent, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(wire.pid));
  await sh(host, 'ip', 'link', 'set', parent, 'up');
  await sh(wire, 'ip', 'link', 'set', 'eth0', 'up');
  await sh(wire, 'ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'eth0');
  // The strictest host: it has no route at all to where guests are.
  await checkSources('1');
  await network.addMacvtapGuards(guards, signal);
});
afterEach(async () => {
  for (const { netns, process } of started) {
    await netns.processes.signal(process.identity, () => true, 'SIGKILL');
    await process.exited;
  }
  for (const netns of [...guests, wire, host]) await netns[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const intentOf = (n: number, change: Partial<MacvtapIntent> = {}): MacvtapIntent => ({
  device: `${prefix}${n}`,
  parent,
  mac: `52:54:00:00:00:0${n}`,
  alias,
  table,
  node: join(directory, `tap${n}`),
  ...change,
});
const portOf = (n: number) => ({
  table,
  device: `${prefix}${n}`,
  service: path.device,
  mac: `52:54:00:00:00:0${n}`,
  address,
  port: 20_000 + n,
});

/** A guest at 192.0.2.1n that sends all that is not near to the wire's machine. */
async function guest(n: number, change: Partial<MacvtapIntent> = {}): Promise<Netns> {
  const intent = intentOf(n, change);
  const { node } = await network.addMacvtap(intent, signal);
  const one = await plugGuest(node, intent.mac);
  guests.push(one);
  await take(one, `192.0.2.1${n}`);
  return one;
}

async function take(one: Netns, ip: string): Promise<void> {
  await sh(one, 'ip', 'addr', 'flush', 'dev', 'eth0');
  await sh(one, 'ip', 'addr', 'add', `${ip}/24`, 'dev', 'eth0');
  await sh(one, 'ip', 'route', 'replace', 'default', 'via', '192.0.2.1');
}

/** Answers each call on a port with a word. */
async function serve(netns: Netns, port: number, says: string): Promise<void> {
  const argv = ['busybox', 'nc', '-ll', '-p', String(port), '-e', 'echo', says] as const;
  const process = await netns.processes.start(argv, { log: join(directory, `${started.length}.log`) });
  started.push({ netns, process });
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  await expect
    .poll(() => sh(netns, 'cat', '/proc/net/tcp', '/proc/net/tcp6'), { timeout: 5_000, interval: 20 })
    .toContain(`:${hex} `);
}

/** What answers there; the error, or nothing, where nothing does. */
const ask = async (from: Netns, to = SERVICE, port = 80): Promise<string> =>
  (await sh(from, 'sh', '-c', `timeout 1 bash -c 'exec 3<>/dev/tcp/${to}/${port} && cat <&3' 2>&1; true`)).trim();

/** The same from a port of the caller's choice. */
const askFrom = async (from: Netns, port: number): Promise<string> =>
  (await sh(from, 'sh', '-c', `sleep 1 | busybox nc -w 1 -p ${port} ${SERVICE} 80 2>&1; true`)).trim();

test('a guest is one machine more on the parent’s network; made twice is once; removed leaves nothing', async () => {
  const [a, b] = [await guest(1), await guest(2)];
  expect(await ping(a, '192.0.2.1')).toBe(true);
  expect(await ping(wire, '192.0.2.11')).toBe(true);
  expect(await ping(a, '192.0.2.12')).toBe(true);
  const again = await network.addMacvtap(intentOf(1), signal);
  const [shown] = JSON.parse(await sh(host, 'ip', '-j', '-d', 'link', 'show', 'dev', `${prefix}1`));
  expect(again).toMatchObject({ index: shown.ifindex, mac: '52:54:00:00:00:01' });
  expect(shown).toMatchObject({ link: parent, ifalias: alias, linkinfo: { info_data: { mode: 'bridge' } } });
  expect(await ping(a, '192.0.2.1')).toBe(true);
  for (const netns of [a, b]) await netns[Symbol.asyncDispose]();
  guests.length = 0;
  for (const n of [1, 1, 2]) await network.removeMacvtap(intentOf(n), signal);
  await network.removeMacvtapGuards(guards, signal);
  await network.removeMacvtapGuards(guards, signal);
  expect(await sh(host, 'nft', 'list', 'ruleset')).toBe('');
  expect((await network.interfaces(signal)).map(({ device }) => device)).toEqual(['lo', parent]);
});

test('a guest sends with its own MAC address only, and with its static IPv4 address only', async () => {
  const [free, fixed] = [await guest(1), await guest(2, { address: '192.0.2.12' })];
  await take(free, '192.0.2.99');
  expect(await ping(free, '192.0.2.1')).toBe(true); // nobody gave it an address
  expect(await ping(fixed, '192.0.2.1')).toBe(true);
  await take(fixed, '192.0.2.98');
  expect(await ping(fixed, '192.0.2.1')).toBe(false);
  // Nothing with another MAC address comes out, whether it is answered or not.
  const forged = '52:54:00:00:00:77';
  const rules = `add table netdev t; add chain netdev t in { type filter hook ingress device "eth0" priority 0; }; add rule netdev t in ether saddr ${forged} counter`;
  await sh(wire, 'nft', rules);
  const [{ address: mac }] = JSON.parse(await sh(wire, 'ip', '-j', 'link', 'show', 'dev', 'eth0'));
  await sh(free, 'ip', 'link', 'set', 'eth0', 'address', forged);
  await sh(free, 'ip', 'neigh', 'replace', '192.0.2.1', 'lladdr', mac, 'nud', 'permanent', 'dev', 'eth0');
  expect(await ping(free, '192.0.2.1')).toBe(false);
  expect(await sh(wire, 'nft', 'list', 'table', 'netdev', 't')).toContain('counter packets 0 ');
});

test('a guest says neither that it is another nor anything to the switches behind the parent', async () => {
  const [free, fixed] = [await guest(1), await guest(2, { address: '192.0.2.12' })];
  for (const [one, n] of [
    [free, 1],
    [fixed, 2],
  ] as const) {
    const mac = `52:54:00:00:00:0${n}`;
    const toAll = { from: mac, to: BROADCAST };
    const own = { from: `192.0.2.1${n}`, to: '192.0.2.1' };
    const ask = (message: Partial<DhcpMessage>, fields: Partial<Ipv4> = {}, bytesOfIt = 300): Uint8Array => {
      const packet = udp(68, 67, dhcp({ type: 3, mac, ...message })).subarray(0, bytesOfIt);
      return frame(toAll, 0x0800, ipv4({ from: '0.0.0.0', to: '255.255.255.255', ...fields }, packet));
    };
    const never = {
      'dhcp of another': ask({ mac: '52:54:00:00:00:77' }),
      'dhcp of another behind options': ask({ mac: '52:54:00:00:00:77' }, { options: '94040000' }),
      'dhcp in pieces': ask({}, { fragment: 0x2000 }, 32),
      'dhcp cut short': ask({}, {}, 38),
      'answer to a relay': ask({ operation: 2 }),
      'spanning tree': frame({ ...toAll, to: '01:80:c2:00:00:00' }, 0x0026, bytes(`424203 ${'00'.repeat(35)}`)),
      'switch discovery': frame({ ...toAll, to: '01:80:c2:00:00:0e' }, 0x88cc, bytes('0000')),
      'tag of a network': bytes(BROADCAST, mac, u16(0x8100), u16(5), u16(0x0800), ask({}).subarray(14)),
      'tag from before the standard': bytes(BROADCAST, mac, u16(0x9100), u16(5), u16(0x0800), ask({}).subarray(14)),
      'another by snap': snapped(arp(toAll, { sender: ['52:54:00:00:00:77', '192.0.2.1'], target: [mac, '0.0.0.0'] })),
    };
    // Of one whose address is its own affair: it may serve the network that it is on.
    const ofRouters = {
      'dhcp answer': frame(toAll, 0x0800, ipv4(own, udp(67, 68, dhcp({ operation: 2, type: 2, mac })))),
      redirect: frame(toAll, 0x0800, ipv4({ ...own, protocol: 1 }, bytes('0501 0000 c0000263', '45'.repeat(28)))),
      'router advertisement': frame(
        { from: mac, to: '33:33:00:00:00:01' },
        0x86dd,
        // To all nodes, from fe80::1: RFC 4861, 4.2.
        bytes('60000000 0010 3a ff', `fe80${'00'.repeat(13)}01`, `ff02${'00'.repeat(13)}01`, '8600', '00'.repeat(14)),
      ),
    };
    const isFree = one === free;
    const fair = {
      ...{ 'dhcp of its own': ask({}), 'dhcp behind options': ask({}, { options: '94040000' }) },
      ...(isFree ? ofRouters : {}),
    };
    const last = arp(toAll, { sender: [mac, `192.0.2.1${n}`], target: [BROADCAST, '192.0.2.1'] });
    const heard = await arriving([one, wire], { ...never, ...ofRouters, ...fair }, last, join(directory, 'heard.log'));
    expect(heard).toEqual(Object.keys(fair).sort());
  }
});

test('the device of another namespace, with the same number, is not taken for ours', async () => {
  const [other, otherWire] = [await createNetns(), await createNetns()];
  guests.push(other, otherWire);
  const theirs = createNetwork({ run: other.run, living: other.living, processes: other.processes, files, clock, log });
  await sh(other, 'ip', 'link', 'add', parent, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(otherWire.pid));
  await theirs.addMacvtapGuards(guards, signal);
  const first = await theirs.addMacvtap(intentOf(8), signal);
  const second = await network.addMacvtap(intentOf(9), signal);
  expect(second.index).toBe(first.index);
  expect(second.node).not.toBe(first.node);
  const [one, two] = [await stat(first.node), await stat(second.node)];
  expect(two.rdev).not.toBe(one.rdev);
  expect(two.mode & 0o777).toBe(0o600);
  guests.push(await plugGuest(second.node, '52:54:00:00:00:09'));
  await take(guests.at(-1) as Netns, '192.0.2.19');
  expect(await ping(guests.at(-1) as Netns, '192.0.2.1')).toBe(true);
  await network.removeMacvtap(intentOf(9), signal);
  await expect(stat(join(directory, 'tap9'))).rejects.toThrow('ENOENT');
});

test('a parent that is not fit is told with the remedy; one that goes takes its macvtaps with it', async () => {
  expect(await network.parentUnfit(parent, signal)).toBeUndefined();
  expect(await network.parentUnfit('nope', signal)).toMatch(/no interface nope.*--parent-iface/);
  expect(await network.parentUnfit('lo', signal)).toMatch(/no MAC address/);
  await sh(host, 'ip', 'link', 'add', 'br0', 'type', 'bridge');
  await sh(host, 'ip', 'link', 'set', parent, 'master', 'br0');
  expect(await network.parentUnfit(parent, signal)).toMatch(/port of br0.*--bridge-name/);
  await sh(host, 'ip', 'link', 'set', parent, 'nomaster');
  await network.addMacvtap(intentOf(1), signal);
  await network.addMacvtapPath(path, signal);
  await network.addMacvtapPort(portOf(1), signal);
  await sh(host, 'ip', 'link', 'del', parent);
  await expect(network.addMacvtap(intentOf(2), signal)).rejects.toMatchObject({ reason: 'NetworkFailed' });
  await network.removeMacvtapPort(portOf(1), signal);
  for (const n of [1, 2]) await network.removeMacvtap(intentOf(n), signal);
  await network.removeMacvtapPath(path, signal);
  await network.removeMacvtapGuards(guards, signal);
  expect(await sh(host, 'nft', 'list', 'ruleset')).toBe('');
});

/** Two guests that may ask, one that may not, and a service of somebody else on the wire. */
async function withMetadata() {
  await sh(wire, 'ip', 'addr', 'add', `${SERVICE}/32`, 'dev', 'eth0');
  await serve(wire, 80, 'somebody-else');
  await network.addMacvtapPath(path, signal);
  const [a, b, none] = [await guest(1), await guest(2), await guest(3)];
  for (const n of [1, 2]) {
    await serve(host, 20_000 + n, `data-of-${n}`);
    await network.addMacvtapPort(portOf(n), signal);
  }
  return { a, b, none };
}

test('each has its own metadata by its gateway and by link, and nobody else has any', async () => {
  const { a, b, none } = await withMetadata();
  expect(await ask(a)).toBe('data-of-1');
  expect(await ask(b)).toBe('data-of-2');
  expect(await ask(none)).not.toMatch(/data|somebody/);
  expect(await ask(wire)).toBe('somebody-else');
  for (const one of [a, b, none]) await sh(one, 'ip', 'route', 'add', `${SERVICE}/32`, 'dev', 'eth0');
  expect(await ask(a)).toBe('data-of-1');
  expect(await ask(b)).toBe('data-of-2');
  expect(await ask(none)).not.toMatch(/data|somebody/);
  expect(await ask(a, SERVICE, 443)).not.toMatch(/data|somebody/);

  // Straight to the port, as a user of the host and as a guest.
  expect(await ask(host, address, 20_001)).not.toContain('data');
  await sh(b, 'ip', 'route', 'add', `${address}/32`, 'dev', 'eth0').catch(() => '');
  expect(await ask(b, address, 20_001)).not.toContain('data');

  await network.removeMacvtapPort(portOf(1), signal);
  await network.removeMacvtapPort(portOf(1), signal);
  expect(await ask(a)).not.toMatch(/data|somebody/);
  expect(await ask(b)).toBe('data-of-2');
  await network.addMacvtapPath(path, signal); // the ports stay
  expect(await ask(b)).toBe('data-of-2');
});

test('who takes a neighbour’s address has his own metadata, the neighbour too, and answers go to nobody else', async () => {
  const { a, b } = await withMetadata();
  await take(b, '192.0.2.11');
  for (const one of [a, b]) await sh(one, 'ip', 'route', 'add', `${SERVICE}/32`, 'dev', 'eth0');
  expect(await ask(b)).toBe('data-of-2');
  expect(await ask(a)).toBe('data-of-1');
  // The same address and the same port, at once.
  expect(await Promise.all([askFrom(a, 5_555), askFrom(b, 5_555)])).toEqual(['data-of-1', 'data-of-2']);
});

test('from the wire nobody reaches the service, and it says nothing there', async () => {
  await withMetadata();
  await checkSources('0', [path.device]); // else that alone keeps the wire out
  await sh(wire, 'ip', 'addr', 'del', `${SERVICE}/32`, 'dev', 'eth0');
  await sh(wire, 'ip', 'route', 'add', `${SERVICE}/32`, 'dev', 'eth0');
  expect(await ask(wire)).not.toContain('data');
  expect(await sh(wire, 'ip', 'neigh', 'show', SERVICE)).not.toContain('lladdr');
  const [{ address: mac }] = JSON.parse(await sh(host, 'ip', '-j', 'link', 'show', 'dev', path.device));
  await sh(wire, 'ip', 'neigh', 'replace', SERVICE, 'lladdr', mac, 'nud', 'permanent', 'dev', 'eth0');
  expect(await ask(wire)).not.toContain('data');
  await sh(wire, 'ip', 'route', 'add', `${address}/32`, 'via', SERVICE, 'dev', 'eth0', 'onlink');
  expect(await ask(wire, address, 20_001)).not.toContain('data');
});
