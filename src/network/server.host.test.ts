import { appendFile, chmod, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { nameServer } from '../../test/support/name-server.ts';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { plugPeer } from '../../test/support/peer.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { StartedProcess } from '../ports/host.ts';
import type { DhcpIntent } from '../ports/network.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const table = 'flintlock_tst';
const bridge = { bridge: 'fltstbr', alias: 'flintlock:tst:host', address: '10.77.0.1/24' };

let host: Netns;
let peers: Netns[];
let started: { readonly netns: Netns; readonly process: StartedProcess }[];
let network: ReturnType<typeof createNetwork>;
let directory: string;
let dhcp: DhcpIntent;
let resolvConf: string;

beforeEach(async () => {
  [peers, started] = [[], []];
  host = await createNetns();
  directory = await mkdtemp(join(tmpdir(), 'fl-server-'));
  await chmod(directory, 0o711);
  dhcp = { directory: join(directory, 'dhcp'), bridge: bridge.bridge, cidr: '10.77.0.0/24', gateway: '10.77.0.1' };
  resolvConf = join(directory, 'resolv.conf');
  network = createNetwork({
    run: host.run,
    processes: host.processes,
    files,
    clock,
    log,
    resolvConf,
    connections: 200,
  });
  await network.addBridge(bridge, signal);
  await network.addFirewall({ table, bridge: bridge.bridge, cidr: dhcp.cidr }, signal);
});
afterEach(async () => {
  await network.stopDhcp(dhcp, signal);
  for (const { netns, process } of started) {
    await netns.processes.signal(process.identity, () => true, 'SIGKILL');
    await process.exited;
  }
  for (const netns of [...peers, host]) await netns[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const sh = (netns: Netns, ...argv: [string, ...string[]]) => netns.run(argv, { signal, timeoutMs: 30_000 });

async function upstream(address: string, answer: string): Promise<void> {
  const path = join(directory, `${started.length}.log`);
  started.push({ netns: host, process: await nameServer(host, address, answer, path) });
  await expect
    .poll(() => readFile(path, 'utf8').catch(() => ''), { timeout: 10_000, interval: 20 })
    .toContain('serves');
}

async function guest(n: number): Promise<Netns> {
  const peer = await plugPeer(host, { bridge: bridge.bridge, port: `port${n}`, mac: `52:54:00:00:00:0${n}` });
  peers.push(peer);
  await sh(peer, 'ip', 'addr', 'add', `10.77.0.${10 + n}/24`, 'dev', 'eth0');
  return peer;
}

/** What a guest is told of a name: the addresses, or nothing. */
const lookUp = async (from: Netns, name: string): Promise<string> => {
  const said = await sh(from, 'sh', '-c', `timeout 5 busybox nslookup -type=a ${name}. 10.77.0.1 2>&1; true`);
  return [...said.matchAll(/^Address: +(192\.0\.2\.\d+)$/gm)].map((m) => m[1]).join();
};

test("it asks the host's DNS servers as they are now, whoever may read the file and whatever it is a link to", async () => {
  await upstream('127.0.0.53', '192.0.2.53');
  await upstream('127.0.0.54', '192.0.2.54');
  await writeFile(join(directory, 'one'), 'search x.example\nnameserver 127.0.0.53 # the stub\noptions edns0\n', {
    mode: 0o600,
  });
  await symlink('one', resolvConf);
  await network.startDhcp(dhcp, signal);
  const one = await guest(1);
  expect(await lookUp(one, 'a.example')).toBe('192.0.2.53');
  expect(await network.serverNews(dhcp)).toEqual({ troubles: [], resolvers: ['127.0.0.53'], isChanged: false });

  // As resolvconf, NetworkManager and others set it: another file, by a rename of a link.
  await writeFile(join(directory, 'two'), '; made by a VPN\nnameserver 127.0.0.54\n', { mode: 0o600 });
  await symlink('two', join(directory, 'new'));
  await rename(join(directory, 'new'), resolvConf);
  expect(await network.serverNews(dhcp)).toMatchObject({ resolvers: ['127.0.0.54'], isChanged: true });
  await expect.poll(() => lookUp(one, 'b.example'), { timeout: 10_000 }).toBe('192.0.2.54');
  // In place.
  await writeFile(join(directory, 'two'), 'nameserver 127.0.0.53\n');
  expect(await network.serverNews(dhcp)).toMatchObject({ resolvers: ['127.0.0.53'], isChanged: true });
  await expect.poll(() => lookUp(one, 'c.example'), { timeout: 10_000 }).toBe('192.0.2.53');

  // Gone, as between two programs that write it: it is told, and guests' own names go on.
  await rm(join(directory, 'two'));
  expect(await network.serverNews(dhcp)).toMatchObject({
    resolvers: [],
    isChanged: true,
    wrong: expect.stringMatching(/leads nowhere/),
  });
  await writeFile(join(directory, 'two'), 'nameserver 127.0.0.54\n');
  expect(await network.serverNews(dhcp)).toMatchObject({ resolvers: ['127.0.0.54'], isChanged: true });
  await expect.poll(() => lookUp(one, 'd.example'), { timeout: 10_000 }).toBe('192.0.2.54');
});

test('what it says after its start is heard once, also by the next daemon; what was said before it is not', async () => {
  await writeFile(resolvConf, '');
  await network.startDhcp(dhcp, signal);
  const path = join(dhcp.directory, 'log/dnsmasq.log');
  const say = (words: string) => appendFile(path, `dnsmasq-dhcp[7]: ${words}\n`);
  expect((await network.serverNews(dhcp)).troubles).toEqual([]);
  await say('not using configured address 10.77.0.11 because it is leased to 52:54:00:00:00:09');
  await appendFile(path, 'dnsmasq[7]: Maximum number of con'); // it is writing
  expect((await network.serverNews(dhcp)).troubles).toMatchObject([{ kind: 'address-withheld' }]);
  await appendFile(path, 'current DNS queries reached (max: 10000)\n');
  expect((await network.serverNews(dhcp)).troubles).toMatchObject([{ kind: 'full' }]);
  expect((await network.serverNews(dhcp)).troubles).toEqual([]);

  const next = createNetwork({
    run: host.run,
    living: host.living,
    processes: host.processes,
    files,
    clock,
    log,
    resolvConf,
  });
  await next.startDhcp(dhcp, signal);
  expect(await next.serverNews(dhcp)).toMatchObject({
    troubles: [],
    wrong: expect.stringContaining('names no DNS server'),
  });
  await say('failed to send packet: Operation not permitted');
  expect((await next.serverNews(dhcp)).troubles).toMatchObject([{ kind: 'not-sent' }]);
});

describe('a guest that asks for more than its share', () => {
  const FLOOD = `
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(int(sys.argv[1])):
    name = b"".join(bytes([len(x)]) + x for x in (b"n%d" % n, b"dead", b"example"))
    s.sendto(struct.pack(">HHHHHH", n & 0xffff, 0x100, 1, 0, 0, 0) + name + b"\\0\\0\\1\\0\\1", ("10.77.0.1", 53))
`;
  const over = () => network.overShares([`inet ${table}`, 'inet nope'], signal);

  test('of the DNS server takes nobody the names, and is told', async () => {
    await upstream('127.0.0.53', '192.0.2.53');
    await writeFile(resolvConf, 'nameserver 127.0.0.53\n');
    await network.startDhcp(dhcp, signal);
    const [greedy, modest] = [await guest(1), await guest(2)];
    await sh(greedy, 'python3', '-c', FLOOD, '5000');
    expect(await lookUp(modest, 'a.example')).toBe('192.0.2.53');
    expect(await over()).toEqual([{ share: 'dns', address: '10.77.0.11' }]);
    expect((await network.serverNews(dhcp)).troubles).toEqual([]);
  });

  test('of connections keeps the others theirs, and so does one that holds the DNS server by TCP', async () => {
    await writeFile(resolvConf, '');
    await network.startDhcp(dhcp, signal);
    const [greedy, modest] = [await guest(1), await guest(2)];
    const hold = `
import socket, sys, time
held = []
for n in range(30):
    try:
        s = socket.create_connection(("10.77.0.1", 53), 1)
        held.append(s)
    except OSError: pass
print(len(held), flush=True)
time.sleep(60)
`;
    const path = join(directory, 'held.log');
    started.push({ netns: greedy, process: await greedy.processes.start(['python3', '-c', hold], { log: path }) });
    await expect.poll(() => readFile(path, 'utf8').catch(() => ''), { timeout: 60_000 }).toMatch(/^4$/m);
    const ask = 'import socket; socket.create_connection(("10.77.0.1", 53), 5); print("ok")';
    expect(await sh(modest, 'python3', '-c', ask)).toBe('ok\n');
    expect(await over()).toEqual([{ share: 'dnsConnections', address: '10.77.0.11' }]);

    // Of all connections, to whatever: a flow for each port.
    const scan = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(400):
    s.sendto(b"x", ("10.77.0.1", 1024 + n))
`;
    await sh(greedy, 'python3', '-c', scan);
    const count = (await sh(host, 'conntrack', '-L', '-p', 'udp', '--orig-src', '10.77.0.11'))
      .trim()
      .split('\n').length;
    expect(count).toBeLessThanOrEqual(200);
    expect(await over()).toContainEqual({ share: 'connections', address: '10.77.0.11' });
    expect(await sh(modest, 'python3', '-c', ask)).toBe('ok\n');
  }, 120_000);
});
