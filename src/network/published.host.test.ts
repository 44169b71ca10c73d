import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { ping, plugPeer } from '../../test/support/peer.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { StartedProcess } from '../ports/host.ts';
import type { PublishIntent } from '../ports/network.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const table = 'flintlock_tst';
const [name, cidr] = ['fltstbr', '10.77.0.0/24'];
const bridge = { bridge: name, alias: 'flintlock:tst:host', address: '10.77.0.1/24' };
const firewall = { table, bridge: name, cidr };
const ROUTE_LOCALNET = `/proc/sys/net/ipv4/conf/${name}/route_localnet`;

let host: Netns;
let network: ReturnType<typeof createNetwork>;
let directory: string;
let peers: Netns[];
let started: { readonly netns: Netns; readonly process: StartedProcess }[];

beforeEach(async () => {
  [peers, started] = [[], []];
  directory = await mkdtemp(join(tmpdir(), 'fl-pub-'));
  host = await createNetns();
  network = createNetwork({ run: host.run, living: host.living, processes: host.processes, files, clock, log });
  await network.addBridge(bridge, signal);
  await network.setForwarding(true);
  await network.addFirewall(firewall, signal);
  await network.addPublishing(firewall, signal);
});
afterEach(async () => {
  for (const { netns, process } of started) {
    await netns.processes.signal(process.identity, () => true, 'SIGKILL');
    await process.exited;
  }
  for (const netns of [...peers, host]) await netns[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const sh = (netns: Netns, ...argv: [string, ...string[]]) => netns.run(argv, { signal, timeoutMs: 20_000 });

/** Answers each call on a port with a word. */
async function serve(netns: Netns, port: number, says: string): Promise<void> {
  await listen(netns, ['busybox', 'nc', '-ll', '-p', String(port), '-e', 'echo', says]);
  await untilBound(netns, 'tcp', port);
}

async function listen(netns: Netns, argv: readonly [string, ...string[]]): Promise<void> {
  const log = join(directory, `${started.length}.log`);
  started.push({ netns, process: await netns.processes.start(argv, { log }) });
}

async function untilBound(netns: Netns, protocol: 'tcp' | 'udp', port: number): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  await expect
    .poll(() => sh(netns, 'cat', `/proc/net/${protocol}`, `/proc/net/${protocol}6`), { timeout: 5_000, interval: 20 })
    .toContain(`:${hex} `);
}

async function guest(n: number): Promise<Netns> {
  const peer = await plugPeer(host, { bridge: name, port: `port${n}`, mac: `52:54:00:00:00:0${n}` });
  peers.push(peer);
  await sh(peer, 'ip', 'addr', 'add', `10.77.0.${10 + n}/24`, 'dev', 'eth0');
  await sh(peer, 'ip', 'route', 'add', 'default', 'via', '10.77.0.1');
  await serve(peer, 80, `guest${n}`);
  return peer;
}

/** A machine beyond one of the host's interfaces. */
async function outside(device: string, net: string): Promise<Netns> {
  const peer = await createNetns();
  peers.push(peer);
  await sh(host, 'ip', 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(peer.pid));
  await sh(host, 'ip', 'addr', 'add', `${net}.1/24`, 'dev', device);
  await sh(host, 'ip', 'link', 'set', device, 'up');
  await sh(peer, 'ip', 'addr', 'add', `${net}.2/24`, 'dev', 'eth0');
  await sh(peer, 'ip', 'link', 'set', 'eth0', 'up');
  return peer;
}

/** As the module br_netfilter does. @returns whether this host has it */
const bridgedToFirewall = async (on: '0' | '1'): Promise<boolean> => {
  const setting = '/proc/sys/net/bridge/bridge-nf-call-iptables';
  return (await sh(host, 'sh', '-c', `[ ! -e ${setting} ] || { echo ${on} >${setting}; echo set; }`)) === 'set\n';
};

/** What a TCP port answers; `nothing` where it does not within a second. */
const call = (from: Netns, to: string, port: number): Promise<string> =>
  sh(from, 'sh', '-c', `busybox nc -w 1 ${to} ${port} </dev/null || true`).then((text) => text.trim() || 'nothing');

const ports = (n: number, ...published: PublishIntent['ports']): PublishIntent => ({
  table,
  address: `10.77.0.${10 + n}`,
  ports: published,
});
const tcp = (hostPort: number, hostIp = '') => ({ hostPort, guestPort: 80, protocol: 'tcp', hostIp }) as const;

describe('published ports', () => {
  test('lead to the guest from the host, its loopback, from outside and from guests; not once they are removed', async () => {
    await bridgedToFirewall('0');
    const [one, two] = [await guest(1), await guest(2)];
    const beyond = await outside('up0', '192.0.2');
    await network.addPorts(ports(1, tcp(8080)), signal);
    await network.addPorts(ports(1, tcp(8080)), signal);
    const all = () =>
      Promise.all([
        call(host, '127.0.0.1', 8080),
        call(host, '127.8.8.8', 8080),
        call(host, '10.77.0.1', 8080),
        call(host, '192.0.2.1', 8080),
        call(beyond, '192.0.2.1', 8080),
        call(two, '10.77.0.1', 8080),
        call(two, '192.0.2.1', 8080),
        call(one, '10.77.0.1', 8080), // its own
      ]);
    expect(await all()).toEqual(Array(8).fill('guest1'));
    expect(await call(host, '127.0.0.1', 80)).toBe('nothing');

    await network.addPublishing(firewall, signal); // another daemon begins: what is published stays
    expect(await all()).toEqual(Array(8).fill('guest1'));

    await network.removePorts(ports(1, tcp(8080)), signal);
    await network.removePorts(ports(1, tcp(8080)), signal);
    expect(await all()).toEqual(Array(8).fill('nothing'));
  });

  test('with bridged packets before the firewall, as Docker has it, a guest still reaches another by the gateway', async () => {
    if (!(await bridgedToFirewall('1'))) return;
    const [, two] = [await guest(1), await guest(2)];
    await network.addPorts(ports(1, tcp(8080)), signal);
    expect(await call(two, '10.77.0.1', 8080)).toBe('guest1');
    expect(await call(two, '10.77.0.11', 80)).toBe('guest1');
  });

  test('on one address, nothing else of the host leads there', async () => {
    await guest(1);
    await guest(2);
    const beyond = await outside('up0', '192.0.2');
    await network.addPorts(ports(1, tcp(8080, '127.0.0.1'), tcp(8081, '192.0.2.1')), signal);
    await network.addPorts(ports(2, tcp(8080, '192.0.2.1')), signal);
    expect(await call(host, '127.0.0.1', 8080)).toBe('guest1');
    expect(await call(host, '192.0.2.1', 8080)).toBe('guest2');
    expect(await call(host, '10.77.0.1', 8080)).toBe('nothing');
    expect(await call(beyond, '192.0.2.1', 8080)).toBe('guest2');
    expect(await call(beyond, '192.0.2.1', 8081)).toBe('guest1');
    expect(await call(host, '127.0.0.1', 8081)).toBe('nothing');
  });

  test('udp', async () => {
    const peer = await guest(1);
    const echo = `require('dgram').createSocket('udp4', function (m, r) { this.send('got ' + m, r.port, r.address) }).bind(5000)`;
    await listen(peer, [process.execPath, '-e', echo]);
    await untilBound(peer, 'udp', 5_000);
    await network.addPorts(ports(1, { ...tcp(5353), protocol: 'udp', guestPort: 5000 }), signal);
    const ask = 'exec 3<>/dev/udp/127.0.0.1/5353; echo this >&3; timeout 3 head -n 1 <&3';
    const answer = await sh(host, 'bash', '-c', ask);
    expect(answer).toBe('got this\n');
  });

  test('a flow follows its port: who sends without a pause gets through once it is published, and to nobody once it is not', async () => {
    await bridgedToFirewall('0'); // else none reaches its own
    const [one, two] = [await guest(1), await guest(2)];
    const beyond = await outside('up0', '192.0.2');
    for (const [netns, says] of [
      [one, 'one'],
      [two, 'two'],
    ] as const) {
      const echo = `require('dgram').createSocket('udp4', function (m, r) { this.send('${says} got ' + m, r.port, r.address) }).bind(5000)`;
      await listen(netns, [process.execPath, '-e', echo]);
      await untilBound(netns, 'udp', 5_000);
    }
    // One socket each, that says again and again what it sends and what it is answered.
    const talk = (to: string, port: number): string => `
      const s = require('dgram').createSocket('udp4');
      s.on('message', (m) => console.log(String(m)));
      s.on('error', () => {});
      let n = 0;
      setInterval(() => s.send(++n + '', ${port}, '${to}'), 20);`;
    const talkers = [
      [beyond, '192.0.2.1', 5353],
      [host, '127.0.0.1', 5353],
      [two, '10.77.0.1', 5353],
      [beyond, '192.0.2.1', 5354], // another's, and stays
    ] as const;
    await network.addPorts(ports(2, { ...tcp(5354), protocol: 'udp', guestPort: 5000 }), signal);
    const logs: string[] = [];
    for (const [netns, to, port] of talkers) {
      logs.push(join(directory, `${started.length}.log`));
      await listen(netns, [process.execPath, '-e', talk(to, port)]);
    }
    const said = async (i: number): Promise<string> => (await readFile(logs[i] ?? '', 'utf8')).trim();
    const untilSaid = (i: number, pattern: RegExp) =>
      expect.poll(() => said(i), { timeout: 10_000, interval: 20 }).toMatch(pattern);
    await untilSaid(3, /two got \d+/);
    const flowsTo = async (port: number) =>
      (await sh(host, 'conntrack', '-L', '-p', 'udp', '--orig-port-dst', String(port))).trim().split('\n');
    await expect.poll(async () => (await flowsTo(5353)).length, { timeout: 10_000, interval: 20 }).toBe(3);
    const others = await flowsTo(5354);

    await network.addPorts(ports(1, { ...tcp(5353), protocol: 'udp', guestPort: 5000 }), signal);
    for (const i of [0, 1, 2]) await untilSaid(i, /one got \d+/);

    // The port goes on to another guest, as after the first was deleted.
    await network.removePorts(ports(1, { ...tcp(5353), protocol: 'udp', guestPort: 5000 }), signal);
    await expect
      .poll(async () => (await flowsTo(5353)).join('\n'), { timeout: 10_000, interval: 20 })
      .not.toContain('src=10.77.0.11 ');
    await network.addPorts(ports(2, { ...tcp(5353), protocol: 'udp', guestPort: 5000 }), signal);
    for (const i of [0, 1, 2]) await untilSaid(i, /two got \d+$/);
    const tuple = (flow: string) => /src=.*? sport=\d+ dport=\d+/.exec(flow)?.[0];
    expect((await flowsTo(5354)).map(tuple)).toEqual(others.map(tuple));
  });

  test('a connection to a port that is published no more is ended; one to another guest goes on', async () => {
    await guest(1);
    const two = await guest(2);
    const beyond = await outside('up0', '192.0.2');
    const echo = `require('net').createServer((s) => s.pipe(s)).listen(5000)`;
    for (const netns of peers.slice(0, 2)) {
      await listen(netns, [process.execPath, '-e', echo]);
      await untilBound(netns, 'tcp', 5_000);
    }
    await network.addPorts(ports(1, { ...tcp(8081), guestPort: 5000 }), signal);
    await network.addPorts(ports(2, { ...tcp(8082), guestPort: 5000 }), signal);
    const talk = (port: number): string => `
      const s = require('net').connect(${port}, '192.0.2.1');
      s.on('data', (d) => console.log('answer'));
      s.on('error', (e) => console.log(e.code));
      setInterval(() => s.write('x'), 20);`;
    const logs: string[] = [];
    for (const port of [8081, 8082]) {
      logs.push(join(directory, `${started.length}.log`));
      await listen(beyond, [process.execPath, '-e', talk(port)]);
    }
    const lines = async (i: number): Promise<string[]> => (await readFile(logs[i] ?? '', 'utf8')).trim().split('\n');
    for (const i of [0, 1]) await expect.poll(() => lines(i), { timeout: 10_000, interval: 20 }).toContain('answer');
    await network.removePorts(ports(1, { ...tcp(8081), guestPort: 5000 }), signal);
    await expect.poll(() => lines(0), { timeout: 10_000, interval: 20 }).toContain('ECONNRESET');
    const before = (await lines(1)).length;
    await expect.poll(async () => (await lines(1)).length, { timeout: 10_000, interval: 20 }).toBeGreaterThan(before);
    expect(await lines(1)).not.toContain('ECONNRESET');
    expect(await ping(two, '10.77.0.1')).toBe(true);
  });

  test('neither outside nor guests get at loopback addresses or the bridge through the host', async () => {
    const one = await guest(1);
    const beyond = await outside('up0', '192.0.2');
    await network.addPorts(ports(1, tcp(8080)), signal);
    await serve(host, 9999, 'hostonly');
    expect(await call(host, '127.0.0.1', 9999)).toBe('hostonly');
    await sh(host, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/up0/route_localnet'); // as others may have it
    for (const [netns, via] of [
      [one, '10.77.0.1'],
      [beyond, '192.0.2.1'],
    ] as const) {
      await sh(netns, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet');
      await sh(netns, 'ip', 'route', 'del', 'local', '127.0.0.0/8', 'dev', 'lo', 'table', 'local');
      await sh(netns, 'ip', 'route', 'add', '127.0.0.0/8', 'via', via);
      expect(await call(netns, '127.0.0.1', 8080)).toBe('nothing');
    }
    // Through our bridge not even what the host serves there; through another's setting that is the other's doing.
    expect(await call(one, '127.0.0.1', 9999)).toBe('nothing');
    await sh(beyond, 'ip', 'route', 'add', cidr, 'via', '192.0.2.1');
    expect(await call(beyond, '10.77.0.1', 8080)).toBe('nothing');
    expect(await call(beyond, '10.77.0.11', 80)).toBe('nothing');
  });

  test('the setting is the bridge’s alone and goes with the table; removed twice nothing is left', async () => {
    const other = '/proc/sys/net/ipv4/conf/all/route_localnet';
    expect(await sh(host, 'cat', ROUTE_LOCALNET, other)).toBe('1\n0\n');
    await network.removePublishing(firewall, signal);
    expect(await sh(host, 'cat', ROUTE_LOCALNET)).toBe('0\n');
    await network.removeBridge(bridge, signal);
    await network.removePublishing(firewall, signal);
    await network.removePorts(ports(1, tcp(8080)), signal);
    expect(await network.tables(signal)).toEqual([`inet ${table}`]);
  });

  test('a port that leads elsewhere is not taken over', async () => {
    await network.addPorts(ports(1, tcp(8080)), signal);
    await expect(network.addPorts(ports(2, tcp(8081), tcp(8080)), signal)).rejects.toMatchObject({
      reason: 'NetworkFailed',
      message: expect.stringMatching(/Cannot publish ports of 10.77.0.12.*File exists/s),
    });
    expect(await sh(host, 'nft', 'list', 'map', 'ip', table, 'everywhere')).not.toContain('8081'); // all or none
  });
});

test('guests leave by whichever interface the routes choose, with its address', async () => {
  const one = await guest(1);
  const [first, second] = [await outside('up0', '192.0.2'), await outside('up1', '198.51.100')];
  await sh(host, 'ip', 'route', 'add', 'default', 'via', '192.0.2.2');
  for (const netns of [first, second]) await sh(netns, 'ip', 'addr', 'add', '203.0.113.9/32', 'dev', 'lo');
  const seen = async (netns: Netns) => (await sh(netns, 'ip', 'neigh', 'show', 'dev', 'eth0')).trim();
  expect(await ping(one, '198.51.100.2')).toBe(true);
  expect(await seen(second)).toMatch(/^198\.51\.100\.1 /); // it knows the host alone: masqueraded
  expect(await ping(one, '203.0.113.9')).toBe(true);
  expect(await seen(first)).toMatch(/^192\.0\.2\.1 /);
  await sh(host, 'ip', 'route', 'replace', 'default', 'via', '198.51.100.2');
  expect(await ping(one, '203.0.113.9')).toBe(true);
  await sh(first, 'ip', 'route', 'add', cidr, 'via', '192.0.2.1');
  expect(await ping(first, '10.77.0.11')).toBe(false); // from outside only answers come in
});

test('who listens is read with address and program; own addresses are known', async () => {
  await serve(host, 8080, 'mine');
  const [found] = (await network.listeners(signal)).filter(({ port }) => port === 8080);
  expect(found).toEqual({
    protocol: 'tcp',
    address: '',
    port: 8080,
    program: expect.stringMatching(/^(busybox|nc) \(pid \d+\)$/),
  });
  expect(await network.ownAddresses(signal)).toEqual(expect.arrayContaining(['127.0.0.0/8', '10.77.0.1']));
  expect(await network.bridgeMissing(name, signal)).toBeUndefined();
  expect(await network.bridgeMissing('br9', signal)).toMatch(/^There is no bridge br9: .*ip link add br9 type bridge/);
  expect(await network.bridgeMissing('lo', signal)).toMatch(/^lo is there and is no bridge/);
});
