import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { leaveToProofs } from '../../test/support/proofs.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { DhcpIntent } from '../ports/network.ts';
import type { ProbeIntent, WayFound } from '../ports/network-probe.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const [T, M, BR, PREFIX] = ['flintlock_prob', 'flintlock_prob_metadata', 'flprobbr', 'flprob'];
const cidr = '10.77.0.0/24';

let host: Netns;
let outside: Netns;
let network: ReturnType<typeof createNetwork>;
let directory: string;
let dhcp: DhcpIntent;
let intent: ProbeIntent;

const sh = (...argv: [string, ...string[]]): Promise<string> => host.run(argv, { signal, timeoutMs: 20_000 });
const nft = (rules: string): Promise<string> =>
  host.run(['nft', '-f', '-'], { signal, timeoutMs: 20_000, input: rules });
const found = async (): Promise<Readonly<Record<string, WayFound>>> =>
  Object.fromEntries((await network.tryWays(intent, signal)).map((one) => [one.way, one]));

beforeAll(async () => {
  host = await createNetns();
  outside = await createNetns();
  directory = await mkdtemp(join(tmpdir(), 'fl-probe-'));
  await chmod(directory, 0o711);
  await sh('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(outside.pid));
  await sh('ip', 'address', 'add', '198.51.100.1/24', 'dev', 'up0');
  await sh('ip', 'link', 'set', 'dev', 'up0', 'up');
  await outside.run(['ip', 'link', 'set', 'dev', 'eth0', 'up'], { signal, timeoutMs: 20_000 });
  await sh('ip', 'route', 'add', 'default', 'via', '198.51.100.254');
  network = createNetwork({
    run: host.run,
    living: host.living,
    follow: host.follow,
    processes: host.processes,
    files,
    clock,
    log,
  });
  dhcp = { directory: join(directory, 'dhcp'), bridge: BR, cidr, gateway: '10.77.0.1' };
  await network.setForwarding(true);
  await network.addBridge({ bridge: BR, alias: 'a:bridge', address: '10.77.0.1/24' }, signal);
  await network.addFirewall({ table: T, bridge: BR, cidr }, signal);
  await network.addGuards({ table: T, prefix: PREFIX }, signal);
  await network.addPublishing({ table: T, bridge: BR, cidr }, signal);
  await network.addMetadataPath(
    { table: M, prefix: PREFIX, bridge: BR, address: '10.77.0.1', routes: 1_000_078 },
    signal,
  );
  await network.startDhcp(dhcp, signal);
  const [device, mac, address] = [`${PREFIX}probe`, '52:54:00:00:00:fe', '10.77.0.254'];
  intent = {
    ...{ bridge: BR, device, table: `${T}_probe`, gateway: '10.77.0.1', cidr },
    lease: { directory: dhcp.directory, file: 'probe', bridge: BR, mac, address, hostname: '' },
    guard: { table: T, device, mac, address },
    metadata: { table: M, devices: [device], address: '10.77.0.1', port: 19_998 },
    publish: { table: T, address, ports: [{ hostPort: 19_997, guestPort: 80, protocol: 'tcp', hostIp: '10.77.0.1' }] },
  };
  await network.addProbe(intent, signal);
  // The metadata service, in the host's namespace.
  const service = "require('http').createServer((_, r) => r.writeHead(404).end()).listen(19998, '10.77.0.1')";
  await host.processes.start([process.execPath, '-e', service, directory], {
    log: join(directory, 'service.log'),
  });
});

afterAll(async () => {
  await network.stopDhcp(dhcp, signal);
  for (const one of await host.processes.find((argv) => argv.at(-1) === directory))
    await host.processes.signal(one, () => true, 'SIGKILL');
  await host[Symbol.asyncDispose]();
  await outside[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

test('on a host with nothing in the way all is open, and nothing is left', async () => {
  const all = async () => (await sh('nft', '-s', '-t', 'list', 'ruleset')) + (await sh('ip', '-o', 'link'));
  const before = await all();
  const seen = await found();
  expect(seen).toMatchObject({
    dhcp: { is: 'open' },
    dns: { is: 'open' },
    large: { is: 'open' },
    metadata: { is: 'open' },
    published: { is: 'open' },
    out: { is: 'open' },
  });
  // The kernel takes a moment to tell that the bridge has no carrier any more.
  await expect.poll(all, { timeout: 20_000 }).toBe(before);
});

/** What others do on the host, which way it shuts, and what is said of it. */
const hostile: readonly [what: string, rules: string, ways: readonly string[], why: RegExp, remedy: RegExp][] = [
  [
    'input is dropped by policy',
    'table inet filter {\n chain input { type filter hook input priority 0; policy drop; ct state established accept\n }\n}',
    ['dhcp', 'dns', 'metadata'],
    /the chain inet filter input refuses it by its policy/,
    /^nft insert rule inet filter input iifname "flprobbr" (udp dport 67|udp dport 53|tcp dport 19998-29999) accept/,
  ],
  [
    'a forward chain with policy accept rejects at its end',
    'table inet theirs {\n chain last { type filter hook forward priority 10; policy accept; ct state established accept\n iifname "lo" accept\n reject with icmpx admin-prohibited\n }\n}',
    ['out'],
    /the chain inet theirs last refuses it by its rule `reject with icmpx (type )?admin-prohibited`/,
    /^nft insert rule inet theirs last iifname "flprobbr" accept && nft insert rule inet theirs last oifname "flprobbr" accept$/,
  ],
  [
    "Docker's policy and chain",
    'table ip filter {\n chain DOCKER-USER { return\n }\n chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER\n }\n}',
    ['out'],
    /the chain ip filter FORWARD refuses it by its policy/,
    /^iptables -I DOCKER-USER -i flprobbr -j ACCEPT && iptables -I DOCKER-USER -o flprobbr -j ACCEPT$/,
  ],
  [
    "ufw's input",
    'table ip filter {\n chain ufw-user-input { return\n }\n chain INPUT { type filter hook input priority 0; policy drop; ct state established accept\n jump ufw-user-input\n }\n}',
    ['dhcp', 'dns', 'metadata'],
    /the chain ip filter INPUT refuses it by its policy/,
    /^ufw allow in on flprobbr to any port (67 proto udp|53 proto udp && .*|19998:29999 proto tcp)$/,
  ],
  [
    "firewalld's zones",
    'table inet firewalld {\n chain filter_IN_public { reject with icmpx admin-prohibited\n }\n chain filter_INPUT { type filter hook input priority 10; policy accept; ct state established accept\n iifname "lo" accept\n goto filter_IN_public\n }\n}',
    ['dhcp', 'dns', 'metadata'],
    /the chain inet firewalld filter_IN_public refuses it by its rule/,
    /^firewall-cmd --permanent --zone=trusted --add-interface=flprobbr && firewall-cmd --reload$/,
  ],
  [
    'answers of DNS are dropped on their way out of the host',
    'table ip filter {\n chain OUTPUT { type filter hook output priority 0; policy accept; udp sport 53 drop\n }\n}',
    ['dns'],
    /the chain ip filter OUTPUT refuses it by its rule `udp sport 53 drop`/,
    /^iptables -I OUTPUT -o flprobbr -p udp --sport 53 -j ACCEPT/,
  ],
  [
    'what is forwarded is dropped after the rules for forwarding',
    'table ip theirs {\n chain post { type filter hook postrouting priority 200; policy accept; ip daddr 192.0.2.0/24 drop\n }\n}',
    ['out'],
    /the chain ip theirs post refuses it by its rule `ip daddr 192\.0\.2\.0\/24 drop`/,
    /^nft insert rule ip theirs post /,
  ],
  [
    'a bridge filter drops large frames',
    'table bridge theirs {\n chain pre { type filter hook prerouting priority -100; policy accept; meta length > 1400 drop\n }\n}',
    ['large'],
    /the chain bridge theirs pre refuses it by its rule `meta length > 1400 drop`/,
    /^nft insert rule bridge theirs pre /,
  ],
  [
    'an ingress chain of the bridge drops what is DNS',
    'table inet theirs {\n chain in { type filter hook ingress device "flprobbr" priority 0; policy accept; udp dport 53 drop\n }\n}',
    ['dns'],
    /the chain inet theirs in refuses it by its rule `udp dport 53 drop`/,
    /^nft insert rule inet theirs in /,
  ],
  [
    'a port of the host is not to be reached',
    'table ip filter {\n chain OUTPUT { type filter hook output priority 0; policy accept; ip daddr 10.77.0.0/24 tcp dport 80 reject\n }\n}',
    ['published'],
    /the chain ip filter OUTPUT refuses it by its rule/,
    /^iptables -I OUTPUT -i flprobbr -j ACCEPT|^iptables -I OUTPUT/,
  ],
];

/** The others are another maker's tables of the same hooks. */
const SAMPLE = [0, 1, 5, 7];

test.for(hostile)('%s: the chain is named, and what lets guests through', async (one, context) => {
  leaveToProofs(context, !SAMPLE.includes(hostile.indexOf(one)));
  const [, rules, ways, why, remedy] = one;
  onTestFinished(async () => {
    for (const [, table = ''] of rules.matchAll(/^table (\S+ \S+)/gm)) await nft(`delete table ${table}\n`);
  });
  await nft(`${rules}\n`);
  const seen = await found();
  const shut = Object.values(seen).filter((one) => one.is === 'blocked');
  expect(shut.map(({ way }) => way).toSorted()).toEqual(ways.toSorted());
  for (const one of shut) {
    // Where nothing of HTTP passes nothing large is tried.
    expect(one.why).toMatch(why);
    expect(one.remedy).toMatch(remedy);
  }
});

test('iptables of the old kind, which nftables does not show, is named by what it counted', async () => {
  await sh('iptables-legacy', '-A', 'INPUT', '-i', BR, '-p', 'udp', '--dport', '53', '-j', 'DROP');
  await sh('iptables-legacy', '-P', 'FORWARD', 'DROP');
  onTestFinished(async () => {
    await sh('iptables-legacy', '-F', 'INPUT');
    await sh('iptables-legacy', '-P', 'FORWARD', 'ACCEPT');
  });
  const { dns, out } = await found();
  expect(out).toMatchObject({
    is: 'blocked',
    why: 'the chain iptables-legacy filter FORWARD refuses it by its policy',
  });
  expect(dns).toEqual({
    ...{ way: 'dns', is: 'blocked', isSure: true },
    why: expect.stringMatching(
      /^the chain iptables-legacy filter INPUT refuses it by its rule `-i flprobbr -p udp .*DROP`$/,
    ),
    remedy:
      `iptables-legacy -I INPUT -i ${BR} -p udp --dport 53 -j ACCEPT && ` +
      `iptables-legacy -I INPUT -i ${BR} -p tcp --dport 53 -j ACCEPT`,
  });
});

test('forwarding that is off, and a host without a way out, are told as that', async () => {
  await sh('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/ip_forward');
  onTestFinished(async () => void (await sh('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward')));
  expect((await found()).out).toMatchObject({ is: 'blocked', why: 'IPv4 forwarding is off' });
  await sh('ip', 'route', 'delete', 'default');
  expect((await found()).out).toMatchObject({ is: 'absent', why: 'the host itself has no route to the outside' });
});

test('a server that does not answer is no firewall’s doing, and is not said to be', async () => {
  const [server] = await host.processes.find((argv) => argv[0] === 'dnsmasq' && argv.join(' ').includes(directory));
  if (!server) throw new Error('there is no DHCP server');
  process.kill(server.pid, 'SIGSTOP');
  onTestFinished(() => void process.kill(server.pid, 'SIGCONT'));
  const seen = await found();
  expect(seen.dns).toMatchObject({ is: 'blocked', isSure: false, why: expect.stringContaining('nothing is answered') });
  expect(seen.metadata).toMatchObject({ is: 'open' });
});

test('taken away, nothing of it is left', async () => {
  await network.removeProbe(intent, signal);
  // What was counted of it goes by itself.
  const left = (await sh('nft', 'list', 'ruleset')).split('\n').filter((line) => !/ expires \d/.test(line));
  expect(left.join('\n')).not.toContain('flprobprobe');
  await network.removeProbe(intent, signal);
});
