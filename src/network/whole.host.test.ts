import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ownedBy } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { HOST_OWNER, type IntentOf, type LedgerKind, type OwnerOf, type ResultOf } from '../domain/ledger.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { DhcpIntent, LeaseIntent } from '../ports/network.ts';
import type { Flaw } from '../ports/network-watch.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const [T, M, BR, PREFIX] = ['flintlock_whol', 'flintlock_whol_metadata', 'flwholbr', 'flwhol'];
const cidr = '10.77.0.0/24';
const uid = 'uid-1';

let host: Netns;
let network: ReturnType<typeof createNetwork>;
let directory: string;
let makeAll: () => Promise<void>;
const ledger = memoryLedger();

const sh = (...argv: [string, ...string[]]): Promise<string> => host.run(argv, { signal, timeoutMs: 20_000 });
const flaws = (): Promise<readonly Flaw[]> =>
  network.flaws({ entries: () => ledger.all(), isWhole: () => true, isAsked: () => true }, signal);

beforeAll(async () => {
  host = await createNetns();
  directory = await mkdtemp(join(tmpdir(), 'fl-whole-'));
  await chmod(directory, 0o711);
  network = createNetwork({
    run: host.run,
    living: host.living,
    follow: host.follow,
    processes: host.processes,
    files,
    clock,
    log,
  });
  const dhcp: DhcpIntent = { directory: join(directory, 'dhcp'), bridge: BR, cidr, gateway: '10.77.0.1' };
  const [bridge, address] = [BR, '10.77.0.1/24'];
  const [device, mac] = [`${PREFIX}abcdef0`, '52:54:00:00:00:01'];
  const lease: LeaseIntent = {
    ...{ directory: dhcp.directory, file: 'vm-eth0', bridge, mac, address: '10.77.0.9', hostname: 'web' },
  };
  const guards = { table: T, prefix: PREFIX };
  const publishing = { table: T, bridge, cidr };
  const path = { table: M, prefix: PREFIX, bridge, address: '10.77.0.1', routes: 1_000_077 };
  const port = { table: M, devices: [device], address: '10.77.0.1', port: 20_001 };
  const publish = {
    ...{ table: T, address: '10.77.0.9' },
    ports: [{ hostPort: 8080, guestPort: 80, protocol: 'tcp', hostIp: '' } as const],
  };
  const thing =
    <K extends LedgerKind>(
      owner: OwnerOf<K>,
      kind: K,
      intent: IntentOf<K>,
      make: () => Promise<void>,
      result: ResultOf<K>,
    ) =>
    async (): Promise<void> => {
      const entry = ledger.intend(owner, kind, '', intent);
      await make();
      ledger.made(entry, result);
    };
  const firewall = { table: T, bridge, cidr };
  const made = { bridge, alias: 'a:bridge', address };
  const guard = { table: T, device, mac, address: '10.77.0.9' };
  const tap = { device, bridge, alias: `a:uid=${uid}` };
  const things = [
    thing(HOST_OWNER, 'forwarding', { was: false }, () => network.setForwarding(true), null),
    thing(HOST_OWNER, 'bridge', made, () => network.addBridge(made, signal), null),
    thing(HOST_OWNER, 'firewall', firewall, () => network.addFirewall(firewall, signal), null),
    thing(HOST_OWNER, 'guards', guards, () => network.addGuards(guards, signal), null),
    thing(HOST_OWNER, 'publishing', publishing, () => network.addPublishing(publishing, signal), null),
    thing(HOST_OWNER, 'metadata-path', path, () => network.addMetadataPath(path, signal), null),
    thing(HOST_OWNER, 'dhcp', dhcp, () => network.startDhcp(dhcp, signal), null),
    thing(ownedBy(uid), 'lease', lease, () => network.addLease(lease, signal), null),
    thing(ownedBy(uid), 'guard', guard, () => network.addGuard(guard, signal), null),
    async () => {
      const entry = ledger.intend(ownedBy(uid), 'tap', '', tap);
      ledger.made(entry, await network.addTap(tap, signal));
    },
    thing(ownedBy(uid), 'publish', publish, () => network.addPorts(publish, signal), null),
    thing(ownedBy(uid), 'metadata', port, () => network.addMetadataPort(port, signal), null),
  ];
  makeAll = async () => {
    for (const make of things) await make();
    await network.remember([`inet ${T}`, `bridge ${T}`, `ip ${T}`, `inet ${M}`, `bridge ${M}`], signal);
  };
  await makeAll();
});

afterAll(async () => {
  const dhcp = ledger.find(HOST_OWNER, 'dhcp', '');
  if (dhcp) await network.stopDhcp(dhcp.intent, signal);
  await host[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const TAP = `${PREFIX}abcdef0`;

/** What somebody does, and what is told of it. */
const tampers: readonly [what: string, commands: readonly (readonly [string, ...string[]])[], told: RegExp][] = [
  [
    'the guards’ chain is flushed',
    [['nft', 'flush', 'chain', 'bridge', T, 'prerouting']],
    /chain prerouting of the firewall table bridge flintlock_whol was changed/,
  ],
  [
    'a rule is put before the guards',
    [['nft', 'insert', 'rule', 'bridge', T, 'prerouting', 'accept']],
    /chain prerouting .* was changed/,
  ],
  [
    'one rule of many is taken out',
    [
      [
        'sh',
        '-c',
        `nft delete rule inet ${T} forward handle $(nft -a list chain inet ${T} forward | sed -n 's/.*handle //p' | tail -2 | head -1)`,
      ],
    ],
    /chain forward of the firewall table inet flintlock_whol was changed/,
  ],
  [
    'a policy is changed',
    [['nft', 'add', 'chain', 'inet', T, 'input', '{ policy drop; }']],
    /chain input of the firewall table inet flintlock_whol was changed/,
  ],
  [
    'a table is put to sleep',
    [['nft', 'add', 'table', 'bridge', T, '{ flags dormant; }']],
    /table itself of the firewall table bridge flintlock_whol was changed/,
  ],
  [
    'a set is emptied',
    [['nft', 'flush', 'set', 'bridge', T, 'macs']],
    /bridge flintlock_whol macs flwholabcdef0 .* is gone/,
  ],
  ['a map is emptied', [['nft', 'flush', 'map', 'ip', T, 'everywhere']], /ip flintlock_whol everywhere .* is gone/],
  [
    'another MAC is let through',
    [['nft', 'add', 'element', 'bridge', T, 'macs', `{ "${TAP}" . 52:54:00:00:00:99 }`]],
    /52:54:00:00:00:99 is in the firewall and nobody's/,
  ],
  [
    'a chain is added',
    [['nft', 'add', 'chain', 'bridge', T, 'theirs', '{ type filter hook prerouting priority -400; policy accept; }']],
    /chain theirs of the firewall table bridge flintlock_whol is not ours/,
  ],
  [
    'a table is gone',
    [['nft', 'delete', 'table', 'inet', M]],
    /the firewall table inet flintlock_whol_metadata is gone/,
  ],
  [
    'the bridge has lost its address',
    [['ip', 'address', 'flush', 'dev', BR]],
    /the bridge flwholbr has lost its address 10\.77\.0\.1\/24/,
  ],
  [
    'the bridge is given another address',
    [['ip', 'address', 'add', '192.0.2.7/24', 'dev', BR]],
    /an address that is not ours, 192\.0\.2\.7\/24/,
  ],
  ['the bridge is down', [['ip', 'link', 'set', 'dev', BR, 'down']], /the bridge flwholbr is down/],
  [
    'the bridge has another MAC',
    [['ip', 'link', 'set', 'dev', BR, 'address', '02:00:00:00:00:77']],
    /another MAC address, 02:00:00:00:00:77/,
  ],
  ['the bridge speaks STP', [['ip', 'link', 'set', 'dev', BR, 'type', 'bridge', 'stp_state', '1']], /spanning tree/],
  ['the bridge is gone', [['ip', 'link', 'delete', BR]], /the bridge flwholbr is gone/],
  [
    'the bridge has another name',
    [
      ['ip', 'link', 'set', 'dev', BR, 'down'],
      ['ip', 'link', 'set', 'dev', BR, 'name', 'other', 'up'],
    ],
    /the bridge flwholbr is called other now/,
  ],
  [
    'a tap has another name',
    [
      ['ip', 'link', 'set', 'dev', TAP, 'down'],
      ['ip', 'link', 'set', 'dev', TAP, 'name', 'other'],
    ],
    /the tap flwholabcdef0 is called other now/,
  ],
  [
    'the route to the guests is gone',
    [['ip', 'route', 'delete', cidr, 'dev', BR]],
    /the route 10\.77\.0\.0\/24 dev flwholbr is gone/,
  ],
  [
    'the bridge’s address is no longer the host’s own',
    [['ip', 'route', 'delete', 'local', '10.77.0.1', 'dev', BR, 'table', 'local']],
    /the route local 10\.77\.0\.1 dev flwholbr is gone/,
  ],
  ['a tap is unplugged', [['ip', 'link', 'set', 'dev', TAP, 'nomaster']], /the tap flwholabcdef0 is on no bridge/],
  ['a tap is down', [['ip', 'link', 'set', 'dev', TAP, 'down']], /the tap flwholabcdef0 is down/],
  [
    'a tap is given an address',
    [['ip', 'address', 'add', '192.0.2.8/24', 'dev', TAP]],
    /the tap flwholabcdef0 was given 192\.0\.2\.8\/24/,
  ],
  [
    'a tap speaks IPv6',
    [['ip', 'address', 'add', 'fe80::7/64', 'dev', TAP]],
    /the tap flwholabcdef0 was given fe80::7\/64/,
  ],
  [
    'a tap has another MAC',
    [['ip', 'link', 'set', 'dev', TAP, 'address', '02:00:00:00:00:78']],
    /another MAC address, 02:00:00:00:00:78/,
  ],
  [
    'a tap may speak for the spanning tree',
    [['ip', 'link', 'set', 'dev', TAP, 'type', 'bridge_slave', 'guard', 'off']],
    /spanning tree of its bridge/,
  ],
  ['a tap is isolated', [['ip', 'link', 'set', 'dev', TAP, 'type', 'bridge_slave', 'isolated', 'on']], /set apart/],
  [
    'a tap hears nobody it does not know',
    [
      [
        'ip',
        'link',
        'set',
        'dev',
        TAP,
        'type',
        'bridge_slave',
        'bcast_flood',
        'off',
        'mcast_flood',
        'off',
        'locked',
        'on',
      ],
    ],
    /set apart .*wanted: locked off, mcast_flood on, bcast_flood on\)/,
  ],
  [
    'nobody answers for a tap',
    [['ip', 'link', 'set', 'dev', TAP, 'type', 'bridge_slave', 'neigh_suppress', 'on']],
    /set apart .*neigh_suppress off/,
  ],
  ['the bridge speaks no ARP', [['ip', 'link', 'set', 'dev', BR, 'arp', 'off']], /does not speak ARP/],
  [
    'forwarding is turned off',
    [['sh', '-c', 'echo 0 >/proc/sys/net/ipv4/ip_forward']],
    /net\/ipv4\/ip_forward is 0, not 1/,
  ],
  [
    'forwarding is turned off for the bridge',
    [['sh', '-c', `echo 0 >/proc/sys/net/ipv4/conf/${BR}/forwarding`]],
    /conf\/flwholbr\/forwarding is 0/,
  ],
  [
    'the host does not answer guests who look for it',
    [['sh', '-c', `echo 8 >/proc/sys/net/ipv4/conf/${BR}/arp_ignore`]],
    /conf\/flwholbr\/arp_ignore is 8, not 0: guests do not find the host/,
  ],
  [
    'a guest’s address is somebody else’s for good',
    [['ip', 'neigh', 'replace', '10.77.0.9', 'lladdr', '02:00:00:00:00:99', 'nud', 'permanent', 'dev', BR]],
    /the host takes 10\.77\.0\.9 for the hardware address 02:00:00:00:00:99, not 52:54:00:00:00:01/,
  ],
  [
    'a guest hears what it says itself',
    [['ip', 'link', 'set', 'dev', TAP, 'type', 'bridge_slave', 'hairpin', 'on']],
    /set apart .*hairpin off/,
  ],
  [
    'loopback is not routed',
    [['sh', '-c', `echo 0 >/proc/sys/net/ipv4/conf/${BR}/route_localnet`]],
    /route_localnet is 0/,
  ],
  [
    'the routing rule is gone',
    [['ip', 'rule', 'delete', 'table', '1000077']],
    /the routing rules that lead flwholbr to table 1000077/,
  ],
  [
    'the routing rule leads others',
    [
      ['ip', 'rule', 'delete', 'table', '1000077'],
      ['ip', 'rule', 'add', 'to', '192.0.2.1', 'table', '1000077'],
    ],
    /the routing rules that lead/,
  ],
  ['the route is gone', [['ip', 'route', 'flush', 'table', '1000077']], /the routes of table 1000077 are gone/],
];

test.for(tampers)('%s: it is told, and mended', async ([, commands, told]) => {
  expect(await flaws()).toEqual([]);
  for (const command of commands) await sh(...command);
  const found = await flaws();
  expect(found.map(({ what }) => what)).toContainEqual(expect.stringMatching(told));
  for (const { mend } of found) await mend?.(signal);
  if (found.some(({ mend, remake }) => !mend || remake)) await makeAll();
  expect((await flaws()).map(({ what }) => what)).toEqual([]);
});

test('a tap that is called otherwise is not made anew: a VMM may have it open', async () => {
  const index = async () => (await network.interfaces(signal)).find((one) => one.device === TAP)?.index;
  const before = await index();
  for (const words of [['down'], ['name', 'other']]) await sh('ip', 'link', 'set', 'dev', TAP, ...words);
  for (const { mend } of await flaws()) await mend?.(signal);
  await makeAll();
  expect(before).toBeDefined();
  expect(await index()).toBe(before);
});

/** Of others, and perhaps meant so: it is told for as long as it is there. */
test.for<readonly [what: string, words: readonly string[], told: readonly string[]]>([
  [
    'a route refuses a guest',
    ['route', 'add', 'blackhole', '10.77.0.9'],
    ['what the host sends to 10.77.0.9 is refused by a route or rule that is not ours (Invalid argument)'],
  ],
  [
    'a route takes a guest’s packets',
    ['route', 'add', '10.77.0.9', 'dev', 'lo'],
    ['what the host sends to 10.77.0.9 goes to lo, by a route or rule that is not ours'],
  ],
  [
    'a rule before ours refuses what is routed',
    ['rule', 'add', 'pref', '100', 'iif', BR, 'prohibit'],
    [
      "what guests send to the host's 169.254.169.254 is refused by a route or rule that is not ours (Permission denied)",
    ],
  ],
])('%s: it is told, and not mended', async ([, words, told]) => {
  expect(await flaws()).toEqual([]);
  await sh('ip', ...words);
  const found = await flaws();
  await sh('ip', ...words.map((word) => (word === 'add' ? 'delete' : word)));
  expect(found.map(({ what }) => what)).toEqual(told);
  expect(found.every(({ mend, isLasting }) => mend === undefined && isLasting)).toBe(true);
  expect(await flaws()).toEqual([]);
});

test('what the whole host does with ARP is told, and left; a fixed entry that is right is no flaw', async () => {
  const fixed = ['10.77.0.9', 'lladdr', '52:54:00:00:00:01', 'nud', 'permanent', 'dev', BR];
  await sh('ip', 'neigh', 'replace', ...fixed);
  expect(await flaws()).toEqual([]);
  await sh('ip', 'neigh', 'delete', '10.77.0.9', 'dev', BR);
  await sh('sh', '-c', 'echo 8 >/proc/sys/net/ipv4/conf/all/arp_ignore');
  const found = await flaws();
  await sh('sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore'); // guests are answered
  expect(found).toMatchObject([
    { what: 'net/ipv4/conf/all/arp_ignore is 8, not 0: guests do not find the host', isLasting: true },
  ]);
  expect(found[0]?.mend).toBeUndefined();
  expect(await flaws()).toEqual([]);
});

test('a reservation that is gone or changed is told', async () => {
  const file = join(directory, 'dhcp/hosts/vm-eth0');
  for (const [act, told] of [
    [() => rm(file), /the reservation of 10\.77\.0\.9.* is gone/],
    [() => writeFile(file, '52:54:00:00:00:66,10.77.0.9\n'), /the reservation of 10\.77\.0\.9.* was changed/],
  ] as const) {
    await act();
    expect(await flaws()).toMatchObject([{ what: expect.stringMatching(told), owner: uid }]);
    await makeAll();
    expect(await flaws()).toEqual([]);
  }
});

test('what comes and goes while it looks is no flaw', async () => {
  const entry = ledger.intend(ownedBy('uid-2'), 'guard', '', {
    table: T,
    device: `${PREFIX}zzzzzz0`,
    mac: '52:54:00:00:00:02',
  });
  ledger.made(entry, null); // marked, and on the host nothing: as one that is being unmade
  let asked = 0;
  const entries = () => {
    if (asked++ > 0) ledger.strike(entry);
    return ledger.all();
  };
  expect(await network.flaws({ entries, isWhole: () => true, isAsked: () => true }, signal)).toEqual([]);
});
