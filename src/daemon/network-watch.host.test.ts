import { readlinkSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeHost } from '../../test/support/fake-host.ts';
import { ownedBy } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import { bridgeName, type Names, tableName } from '../domain/names.ts';
import { HostNetwork } from '../engine/host-network.ts';
import { NetworkHealth } from '../engine/network-health.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { createNetwork } from '../network/network.ts';
import { KernelNews } from '../network/news.ts';
import { DIRECT } from '../ports/acts.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';

const signal = new AbortController().signal;
const SOON = { timeout: 60_000, interval: 100 };

let host: Netns;
let directory: string;
let names: Names;
let log: ReturnType<typeof memoryLog>;
let vm: MicroVm;
let stops: (() => void | Promise<void>)[];
let network: ReturnType<typeof createNetwork>;

const sh = (...argv: [string, ...string[]]): Promise<string> => host.run(argv, { signal, timeoutMs: 20_000 });
const ready = () => vm.conditions.find(({ type }) => type === 'NetworkReady');
const said = (message: string): number => log.lines.filter((line) => line.message === message).length;

/** One microVM that runs, as the fake host has it. */
const running = async (): Promise<MicroVm> => {
  const fake = new FakeHost();
  const uid = await fake.create();
  await fake.until(uid, 'CREATED');
  return fake.vm(uid);
};

/** The slow looks never come: what is seen was told by the kernel. */
const onlyTold: Clock = {
  ...clock,
  after: (ms, callback) => (ms > 2_000 ? () => undefined : clock.after(ms, callback)),
};

async function watched(options: { readonly clock?: Clock; readonly isTold?: boolean } = {}): Promise<HostNetwork> {
  const ledger = memoryLedger();
  const store = {
    update: (_uid: Uid, change: (old: MicroVm) => MicroVm | undefined) => {
      vm = change(vm) ?? vm;
      return vm;
    },
  } as unknown as Store;
  const time = options.clock ?? onlyTold;
  network = createNetwork({
    run: host.run,
    living: host.living,
    follow: host.follow,
    processes: host.processes,
    files,
    clock,
    log,
  });
  const follow = options.isTold === false ? undefined : host.follow;
  const news = new KernelNews({ follow, clock, log, tables: tableName(names) });
  const managed = new HostNetwork({
    ...{ names, ledger, network, news, store, log, acts: DIRECT, clock: time },
    cidr: { network: (10 << 24) + (77 << 16), prefix: 24 },
    health: new NetworkHealth({ store, clock }),
  });
  stops.push(() => managed.release());
  stops.push(() => news.release());
  stops.push(async () => {
    const dhcp = ledger.find(HOST_OWNER, 'dhcp', '');
    if (dhcp) await network.stopDhcp(dhcp.intent, signal);
  });
  news.start();
  await managed.ensure(signal);
  const bridge = bridgeName(names);
  const guard = { table: tableName(names), device: 'flwtchabcdef0', mac: '52:54:00:00:00:01', address: '10.77.0.9' };
  const tap = { device: guard.device, bridge, alias: 'flintlock:wtch:uid=1' };
  const guarded = ledger.intend(ownedBy(vm.uid), 'guard', 'eth0', guard);
  await network.addGuard(guard, signal);
  ledger.made(guarded, null);
  const plugged = ledger.intend(ownedBy(vm.uid), 'tap', 'eth0', tap);
  ledger.made(plugged, { ...(await network.addTap(tap, signal)) });
  return managed;
}

beforeEach(async () => {
  stops = [];
  host = await createNetns();
  directory = await mkdtemp(join(tmpdir(), 'fl-watch-'));
  await chmod(directory, 0o711);
  names = { instance: 'wtch', stateDirectory: directory, runDirectory: directory };
  log = memoryLog();
  vm = await running();
});

afterEach(async () => {
  for (const stop of stops) await stop();
  await host[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

test('the kernel tells of it, and it is mended: rules, elements, addresses, settings', async () => {
  await watched();
  const table = tableName(names);
  // A table that is made anew comes last.
  const ruleset = async () => (await sh('nft', '-s', 'list', 'ruleset')).split('\n').sort();
  const rules = await ruleset();
  let times = 0;
  const mended = () => vi.waitFor(() => expect(said('the network is mended')).toBe(times), SOON);
  const tampers: readonly [string, ...string[]][] = [
    ['nft', 'flush', 'chain', 'bridge', table, 'prerouting'],
    ['nft', 'flush', 'set', 'bridge', table, 'macs'],
    ['nft', 'insert', 'rule', 'bridge', table, 'prerouting', 'accept'],
    ['ip', 'address', 'flush', 'dev', bridgeName(names)],
    ['sh', '-c', 'echo 0 >/proc/sys/net/ipv4/ip_forward'],
  ];
  for (const tamper of tampers) {
    times++;
    await sh(...tamper);
    await mended();
    expect(await ruleset()).toEqual(rules);
  }
  expect(await sh('ip', 'address', 'show', 'dev', bridgeName(names))).toContain('10.77.0.1/24');
  expect(await sh('cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1\n');
  expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  expect(ready()?.status).toBe('True');
});

test('where nobody tells it polls', async () => {
  await watched({ clock, isTold: false });
  await sh('nft', 'flush', 'chain', 'bridge', tableName(names), 'prerouting');
  await vi.waitFor(() => expect(said('the network is mended')).toBe(1), SOON);
});

test('a monitor that is killed is started again, and what came meanwhile is seen', async () => {
  await watched();
  const monitors = await host.processes.find((argv) => argv.join(' ') === 'nft monitor');
  const here = readlinkSync(`/proc/${host.pid}/ns/net`);
  const ours = monitors.filter(({ pid }) => readlinkSync(`/proc/${pid}/ns/net`) === here);
  expect(ours).toHaveLength(1);
  for (const { pid } of ours) process.kill(pid, 'SIGKILL');
  await vi.waitFor(() => expect(said('changes of the network are not told: it is looked at more often')).toBe(1), SOON);
  await sh('nft', 'flush', 'chain', 'bridge', tableName(names), 'prerouting');
  await vi.waitFor(() => expect(said('the network is mended')).toBeGreaterThan(0), SOON);
});

test('what an operator sets again and again is left so and told, until it is as it was', async () => {
  await watched();
  const set = (value: string) => sh('sh', '-c', `echo ${value} >/proc/sys/net/ipv4/ip_forward`);
  const read = async () => (await sh('cat', '/proc/sys/net/ipv4/ip_forward')).trim();
  for (let times = 0; times < 3; times++) {
    await set('0');
    await vi.waitFor(() => expect(said('the network is mended')).toBe(times + 1), SOON);
  }
  expect(ready()?.status).toBe('True');
  await set('0');
  await vi.waitFor(() => expect(ready()?.status).toBe('False'), SOON);
  expect(ready()).toMatchObject({
    reason: 'NetworkFailed',
    message: expect.stringMatching(/net\/ipv4\/ip_forward is 0, not 1: .*set again and again, so it is left so/),
  });
  // With whatever else is mended it is left, too.
  await sh('nft', 'flush', 'chain', 'bridge', tableName(names), 'prerouting');
  await vi.waitFor(() => expect(said('the network is mended')).toBe(4), SOON);
  expect(await read()).toBe('0');
  await set('1');
  await vi.waitFor(() => expect(ready()?.status).toBe('True'), SOON);
});

test('a tap that somebody gives an address loses it, and a guest’s network that cannot be mended is told', async () => {
  await watched();
  await sh('ip', 'address', 'add', '192.0.2.9/24', 'dev', 'flwtchabcdef0');
  await vi.waitFor(
    async () => expect(await sh('ip', 'address', 'show', 'dev', 'flwtchabcdef0')).not.toContain('192.0.2.9'),
    SOON,
  );
  // Something that is not ours has the bridge's name.
  await sh('ip', 'link', 'delete', bridgeName(names));
  await sh('ip', 'link', 'add', bridgeName(names), 'type', 'veth', 'peer', 'name', 'other');
  await vi.waitFor(() => expect(ready()?.status).toBe('False'), SOON);
  expect(ready()?.message).toMatch(/is not ours|is a veth now/);
  await sh('ip', 'link', 'delete', bridgeName(names));
  await vi.waitFor(() => expect(ready()?.status).toBe('True'), SOON);
});
