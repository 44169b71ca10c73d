import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { demoSpec, poll, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';
import { createNetns, type Netns } from '../support/netns.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const MACVTAP = 0;
const PARENT = ['--managed-network', 'none', '--parent-iface', 'up0'];
const limits = { signal: AbortSignal.timeout(600_000), timeoutMs: 60_000 };

/** Answers what the guest asks of its network, once it has an address. */
const LOOK = `say() { echo "probe: $*" >/dev/console; }
i=0; until ip -4 addr show | grep -q 'inet 192\\.' || [ $i -ge 40 ]; do i=$((i + 1)); sleep 0.5; done
say "nics=$(ls /sys/class/net | tr '\\n' ' ')"
for n in eth0 lan0; do [ -e /sys/class/net/$n ] && say "$n=$(ip -4 -o addr show dev $n | awk '{ print $4 }') $(cat /sys/class/net/$n/address)"; done
say "peer=$(ping -c 1 -W 5 192.0.2.1 >/dev/null 2>&1 && echo reached || echo lost)"
say "metadata=$(timeout 8 wget -q -O - http://169.254.169.254/latest/user-data 2>&1 || echo none)"
say end
`;

/** Somebody else's machine on the parent's network, which gives addresses there and has a page at the metadata service's address. */
async function wire(host: TestHost): Promise<Netns> {
  const peer = await createNetns();
  await host.tool('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(peer.pid));
  await host.tool('ip', 'link', 'set', 'up0', 'up');
  await peer.run(['ip', 'link', 'set', 'eth0', 'up'], limits);
  for (const address of ['192.0.2.1/24', '169.254.169.254/32'])
    await peer.run(['ip', 'address', 'add', address, 'dev', 'eth0'], limits);
  return peer;
}

/** A host whose interface `up0` leads to a machine of others. */
async function startWithParent(t: Parameters<typeof startHost>[0], flags: readonly string[] = PARENT) {
  let peer: Netns | undefined;
  const directory = await mkdtemp(join(tmpdir(), 'fl-wire-'));
  const started: { end(): Promise<void> }[] = [];
  t.onTestFinished(async () => {
    for (const one of started) await one.end();
    await peer?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });
  const prepare = async (host: TestHost): Promise<void> => {
    peer = await wire(host);
    const serve = async (argv: [string, ...string[]]): Promise<void> => {
      const process = await (peer as Netns).processes.start(argv, { log: join(directory, 'log') });
      started.push({
        end: async () => {
          await (peer as Netns).processes.signal(process.identity, () => true, 'SIGKILL');
          await process.exited;
        },
      });
    };
    await writeFile(join(directory, 'index.html'), 'of-somebody-else');
    await serve(['busybox', 'httpd', '-f', '-p', '80', '-h', directory]);
    await serve([
      ...(['dnsmasq', '--conf-file=/dev/null', '--keep-in-foreground', '--port=0', '--interface=eth0'] as const),
      ...['--bind-interfaces', '--dhcp-range=192.0.2.100,192.0.2.150,1h', '--leasefile-ro', '--user=root'],
      ...[`--pid-file=${directory}/pid`, '--log-facility=-', '--dhcp-authoritative', '--no-ping'],
    ]);
  };
  const host = await startHost(t, { flags, prepare });
  return { host, peer: peer as unknown as Netns };
}

interface Nic {
  readonly guestDeviceName: string;
  readonly type: number;
  readonly address?: string;
  readonly allowMetadataReq?: boolean;
  readonly guestMac?: string;
}

const specOf = (id: string, change: object): SpecInit => demoSpec(id, change as Partial<SpecInit>);

function scripted(host: TestHost, id: string, interfaces: readonly Nic[], change: object = {}): SpecInit {
  const files = { '/etc/flintlock/run': { mode: 0o755, content: `#!/bin/sh\n${LOOK}\n` } };
  const image = makeImage({ layout: `${host.images}/${id}`, tag: 'v1', demo: true, files });
  return specOf(id, {
    volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }],
    interfaces,
    ...change,
  });
}

const said = async (host: TestHost, uid: string): Promise<Record<string, string>> => {
  await host.untilConsole(uid, /probe: end/, 120_000);
  const lines = [...(await host.console(uid)).matchAll(/probe: (\w+)=(.*?)\r?\n/g)];
  return Object.fromEntries(lines.map(([, key, value]) => [key, value?.trim()]));
};

const refusal = async (created: Promise<unknown>): Promise<string> =>
  created.then(
    () => 'accepted',
    (error: unknown) => JSON.stringify([String(error), (error as { details?: unknown }).details]),
  );

test('a guest on a parent reaches its network, has its own metadata, is taken over, and leaves nothing', async (t) => {
  const { host, peer } = await startWithParent(t);
  const metadata = { 'user-data': Buffer.from('data-of-a').toString('base64') };
  const mac = '02:00:00:00:00:0a';
  const lan0 = { guestDeviceName: 'lan0', type: MACVTAP, allowMetadataReq: true, guestMac: mac };
  const a = await host.create(scripted(host, 'a', [lan0], { metadata }));
  const eth0 = { guestDeviceName: 'eth0', type: MACVTAP, address: '192.0.2.5/24' };
  const b = await host.create(scripted(host, 'b', [eth0]));
  const [uidA, uidB] = [a.spec?.uid ?? '', b.spec?.uid ?? ''];
  const seenA = await said(host, uidA);
  expect(seenA).toMatchObject({ nics: 'lan0 lo', peer: 'reached', metadata: 'data-of-a' });
  expect(seenA.lan0).toMatch(/^192\.0\.2\.1[0-4]\d\/24 02:00:00:00:00:0a$/);
  const seenB = await said(host, uidB);
  expect(seenB).toMatchObject({ nics: 'eth0 lo', peer: 'reached' });
  expect(seenB.metadata).not.toMatch(/data-of|somebody/);
  expect(seenB.eth0).toMatch(/^192\.0\.2\.5\/24/);

  const { status } = await host.get(uidA);
  const shown = status?.networkInterfaces.lan0;
  const device = shown?.hostDeviceName ?? '';
  const [link] = JSON.parse(await host.tool('ip', '-j', '-d', 'link', 'show', 'dev', device));
  expect(link).toMatchObject({
    ifindex: shown?.index,
    address: shown?.macAddress,
    link: 'up0',
    linkinfo: { info_kind: 'macvtap', info_data: { mode: 'bridge' } },
  });
  expect(shown?.guestMac).toBe(mac);
  expect((await host.get(uidB)).status?.networkInterfaces.eth0?.addresses).toEqual(['192.0.2.5']);
  for (const [pid] of [host.vmms(uidA), host.vmms(uidB)])
    expect((await stat(`/proc/${pid}`)).uid).toBeGreaterThanOrEqual(700_000);
  expect(await host.audit()).toEqual(CLEAN);

  await host.kill9();
  await host.start();
  await host.until(uidA, 'CREATED');
  const before = host.vmms(uidA);
  expect(await peer.run(['busybox', 'ping', '-c', '1', '-W', '5', '192.0.2.5'], limits)).toContain(
    '1 packets received',
  );
  expect(host.vmms(uidA)).toEqual(before);
  expect(await host.audit()).toEqual(CLEAN);

  for (const uid of [uidA, uidB]) await host.vms.deleteMicroVM({ uid });
  for (const uid of [uidA, uidB]) await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
  expect(await host.tool('ip', '-br', 'link', 'show', 'type', 'macvtap')).toBe('');
  await host.stop();
  await host.tool(...teardown(host));
  expect(await host.tool('ip', '-br', 'link', 'show', 'type', 'macvlan')).toBe('');
  expect(await host.tool('nft', 'list', 'ruleset')).toBe('');
  expect(await host.tool('ip', '-4', 'rule')).not.toContain('1500:');
});

const teardown = (host: TestHost): [string, ...string[]] => [
  `${import.meta.dirname}/../../bin/flintlockd`,
  'teardown',
  '--state-dir',
  host.state,
  '--run-dir',
  host.run,
];

test('beside a managed network; a parent that vanishes is told of, and the delete still ends', async (t) => {
  const { host } = await startWithParent(t, ['--managed-network', '10.77.0.0/24', '--parent-iface', 'up0']);
  const both: Nic[] = [
    { guestDeviceName: 'eth0', type: 1 },
    { guestDeviceName: 'lan0', type: MACVTAP, address: '192.0.2.6/24' },
  ];
  const vm = await host.create(scripted(host, 'both', both));
  const uid = vm.spec?.uid ?? '';
  const seen = await said(host, uid);
  expect(seen).toMatchObject({ nics: 'eth0 lan0 lo', peer: 'reached' });
  expect(seen.lan0).toContain('192.0.2.6/24');
  expect(seen.eth0).toContain('10.77.0.');
  expect(await refusal(host.create(specOf('same', { interfaces: both.slice(1) })))).toMatch(
    /192\.0\.2\.6 is taken by microVM default/,
  );

  await host.tool('ip', 'link', 'delete', 'up0');
  await poll('the loss is told', 20_000, async () => {
    const ready = (await host.get(uid)).status?.conditions.find(({ type }) => type === 'NetworkReady');
    return ready?.status === 'False'
      ? { is: expect(ready.message).toMatch(/lan0.*parent up0 is gone/) }
      : { not: `${ready?.status}: ${ready?.message}` };
  });
  expect(await refusal(host.create(specOf('late', { interfaces: both.slice(1) })))).toMatch(
    /no interface up0.*--parent-iface/,
  );

  // When it is back, a start gives the guest another one in its place.
  await host.tool('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1');
  await host.vms.stopMicroVM({ uid });
  await host.until(uid, 'STOPPED');
  await host.vms.startMicroVM({ uid });
  await host.until(uid, 'CREATED');
  const { hostDeviceName = '', index } = (await host.get(uid)).status?.networkInterfaces.lan0 ?? {};
  const [link] = JSON.parse(await host.tool('ip', '-j', '-d', 'link', 'show', 'dev', hostDeviceName));
  expect(link).toMatchObject({ ifindex: index, link: 'up0' });
  await poll('the interface is told to be there', 20_000, async () => {
    const ready = (await host.get(uid)).status?.conditions.find(({ type }) => type === 'NetworkReady');
    return ready?.status === 'True' ? { is: true } : { not: `${ready?.status}: ${ready?.message}` };
  });
  expect(await host.audit()).toEqual(CLEAN);

  await host.tool('ip', 'link', 'delete', 'up0');
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect((await host.audit()).leaked).toEqual([]);
});

test('without a parent it is refused with both remedies, and a parent that is none ends the daemon', async (t) => {
  const host = await startHost(t);
  const created = host.create(demoSpec('none', { interfaces: [{ guestDeviceName: 'eth0' }] }));
  expect(await refusal(created)).toMatch(/invalid_argument.*interfaces\[0\]\.type.*set type: TAP.*--parent-iface/s);
  await host.stop();
  await expect(host.start('--parent-iface', 'nope0')).rejects.toThrow(
    /Cannot use --parent-iface nope0: There is no interface nope0/,
  );
});
