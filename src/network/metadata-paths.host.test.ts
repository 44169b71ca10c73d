import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { plugPeer } from '../../test/support/peer.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { StartedProcess } from '../ports/host.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const [name, cidr, address, routes] = ['fltstbr', '10.77.0.0/24', '10.77.0.1', 1_000_007];
const bridge = { bridge: name, alias: 'flintlock:tst:host', address: `${address}/24` };
const firewall = { table: 'flintlock_tst', bridge: name, cidr };
const table = 'flintlock_tst_metadata';
const path = { table, prefix: 'port', bridge: name, address, routes };
const A = { table, devices: ['port1'], address, port: 20_001 };
const B = { table, devices: ['port2'], address, port: 20_002 };
const SERVICE = '169.254.169.254';

let host: Netns;
let network: ReturnType<typeof createNetwork>;
let directory: string;
let peers: Netns[];
let started: { readonly netns: Netns; readonly process: StartedProcess }[];

beforeEach(async () => {
  [peers, started] = [[], []];
  directory = await mkdtemp(join(tmpdir(), 'fl-md-'));
  host = await createNetns();
  network = createNetwork({ run: host.run, living: host.living, processes: host.processes, files, clock, log });
  await network.addBridge(bridge, signal);
  await network.setForwarding(true);
  await network.addFirewall(firewall, signal);
  await network.addMetadataPath(path, signal);
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
  const argv = ['busybox', 'nc', '-ll', '-p', String(port), '-e', 'echo', says] as const;
  const process = await netns.processes.start(argv, { log: join(directory, `${started.length}.log`) });
  started.push({ netns, process });
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  await expect
    .poll(() => sh(netns, 'cat', '/proc/net/tcp', '/proc/net/tcp6'), { timeout: 5_000, interval: 20 })
    .toContain(`:${hex} `);
}

async function guest(n: number, like = n): Promise<Netns> {
  const peer = await plugPeer(host, { bridge: name, port: `port${n}`, mac: `52:54:00:00:00:0${like}` });
  peers.push(peer);
  await sh(peer, 'ip', 'addr', 'add', `10.77.0.${10 + like}/24`, 'dev', 'eth0');
  await sh(peer, 'ip', 'route', 'add', 'default', 'via', address);
  return peer;
}

/** What answers there; the error where nothing does, nothing where nobody says anything. */
async function ask(from: Netns, to = SERVICE, port = 80): Promise<string> {
  const command = `timeout 1 bash -c 'exec 3<>/dev/tcp/${to}/${port} && cat <&3' 2>&1; true`;
  return (await sh(from, 'sh', '-c', command)).trim();
}

/** The same from a port of the caller's choice. */
const askFrom = async (from: Netns, port: number): Promise<string> =>
  (await sh(from, 'sh', '-c', `sleep 1 | busybox nc -w 1 -p ${port} ${SERVICE} 80 2>&1; true`)).trim();

/** A cloud's own service, as the host reaches it. */
async function cloud(): Promise<void> {
  const peer = await createNetns();
  peers.push(peer);
  await sh(host, 'ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(peer.pid));
  await sh(host, 'ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'uplink');
  await sh(host, 'ip', 'link', 'set', 'uplink', 'up');
  await sh(host, 'ip', 'route', 'add', 'default', 'via', '192.0.2.2');
  await sh(peer, 'ip', 'link', 'set', 'eth0', 'up');
  await sh(peer, 'ip', 'addr', 'add', '192.0.2.2/24', 'dev', 'eth0');
  await sh(peer, 'ip', 'addr', 'add', `${SERVICE}/32`, 'dev', 'eth0');
  await serve(peer, 80, 'cloud');
}

test('each has its own, the host keeps the cloud’s, and nobody else has any', async () => {
  await cloud();
  await serve(host, A.port, 'data-of-A');
  await serve(host, B.port, 'data-of-B');
  const [a, b, none] = [await guest(1), await guest(2), await guest(3)];
  await network.addMetadataPort(A, signal);
  await network.addMetadataPort(B, signal);
  expect(await ask(a)).toBe('data-of-A');
  expect(await ask(b)).toBe('data-of-B');
  expect(await ask(host)).toBe('cloud');
  expect(await ask(none)).toContain('refused');
  expect(await ask(a, SERVICE, 443)).toContain('refused');
  // Straight to the ports: not the neighbour, not the owner, not the host's users.
  const straight = await Promise.all([a, b, none, host].map((from) => ask(from, address, A.port)));
  expect(straight.join()).not.toContain('data');
  expect(await ask(host, SERVICE)).toBe('cloud');

  await network.removeMetadataPort(A, signal);
  await network.removeMetadataPort(A, signal);
  expect(await ask(a)).toContain('refused');
  expect(await ask(b)).toBe('data-of-B');

  // Also without the rule no guest has what the host has.
  await network.removeRules(routes, signal);
  expect(await ask(none)).not.toContain('cloud');
  await network.addMetadataPath(path, signal);
  expect(await ask(b)).toBe('data-of-B');
});

test('a neighbour with the same MAC and address, down to the port, has his own all the same', async () => {
  await serve(host, A.port, 'data-of-A');
  await serve(host, B.port, 'data-of-B');
  const [a, b] = [await guest(1), await guest(2, 1)];
  await network.addMetadataPort(A, signal);
  await network.addMetadataPort(B, signal);
  const answers = await Promise.all([askFrom(a, 40_000), askFrom(b, 40_000)]);
  // Answers may go astray, to who has the address: what never comes is the other's data through one's own request.
  expect(await ask(b)).not.toContain('data-of-A');
  await sh(a, 'ip', 'link', 'set', 'eth0', 'down');
  expect(await ask(b)).not.toContain('data-of-A');
  expect(answers[1]).not.toBe('data-of-A');
});

test('asks on the link are answered, too: a route without a gateway', async () => {
  await serve(host, A.port, 'data-of-A');
  const a = await guest(1);
  await network.addMetadataPort(A, signal);
  await sh(a, 'ip', 'route', 'del', 'default');
  await sh(a, 'ip', 'route', 'add', `${SERVICE}/32`, 'dev', 'eth0');
  expect(await ask(a)).toBe('data-of-A');
});

test('two interfaces of one are one, and who opens connections without end waits', async () => {
  await serve(host, A.port, 'data-of-A');
  const [a, b] = [await guest(1), await guest(2)];
  await network.addMetadataPort({ ...A, devices: ['port1', 'port2'] }, signal);
  expect(await ask(a)).toBe('data-of-A');
  expect(await ask(b)).toBe('data-of-A');
  const flood = 'for i in $(seq 200); do busybox nc -w 1 169.254.169.254 80 </dev/null & done; wait; true';
  await sh(a, 'sh', '-c', flood);
  const counted = JSON.stringify(await sh(host, 'nft', 'list', 'set', 'inet', table, 'rates-metadata'));
  expect(counted).toContain('limit rate over 50/second');
});

describe('what is made', () => {
  test('twice is as once, and goes without a trace, twice', async () => {
    const before = await network.rules(signal);
    expect(before.filter((rule) => rule.routes === String(routes))).toEqual([
      { priority: 1_500, routes: String(routes), text: `from all to ${SERVICE} iif ${name} lookup ${routes}` },
    ]);
    await network.addMetadataPort(A, signal);
    await network.addMetadataPath(path, signal);
    await network.addMetadataPort(A, signal);
    expect(await network.rules(signal)).toEqual(before);
    expect(await sh(host, 'nft', 'list', 'map', 'bridge', table, 'marks')).toContain('"port1"');
    await network.removeMetadataPath(path, signal);
    await network.removeMetadataPath(path, signal);
    await network.removeMetadataPort(A, signal);
    expect((await network.tables(signal)).filter((one) => one.includes('metadata'))).toEqual([]);
    expect((await network.rules(signal)).map((rule) => rule.routes)).toEqual(['local', 'main', 'default']);
    expect(await sh(host, 'ip', 'route', 'show', 'table', 'all')).not.toContain(SERVICE);
  });

  test('refuses names that would be commands', async () => {
    await expect(network.addMetadataPort({ ...A, devices: ['x" }\nflush'] }, signal)).rejects.toThrow('not allowed');
    await expect(network.addMetadataPort({ ...A, port: 40_000 }, signal)).rejects.toThrow('from 1 to 32767');
  });
});
