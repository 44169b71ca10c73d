import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import { BadRequestSchema } from '../../src/gen/google/rpc/error_details_pb.ts';
import { demoSpec, poll, ROOT, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';
import { createNetns } from '../support/netns.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const WEB = `mkdir -p /run/www && echo "this is $(hostname)" >/run/www/index.html && exec httpd -f -p 80 -h /run/www`;

interface Published {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly protocol?: string;
  readonly hostIp?: string;
}

/** A guest that runs a script once it is up. */
function scripted(host: TestHost, id: string, script: string, publishedPorts: readonly Published[] = []): SpecInit {
  const files = { '/etc/flintlock/run': { mode: 0o755, content: `#!/bin/sh\n${script}\n` } };
  const image = makeImage({ layout: `${host.images}/${id}`, tag: 'v1', demo: true, files });
  return demoSpec(id, {
    volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }],
    interfaces: [{ guestDeviceName: 'eth0', type: 1, publishedPorts: [...publishedPorts] }],
  });
}

/** Debian's static busybox has a wget that falls over its own -T; the last line of the answer is the page. */
const asking = (address: string): readonly [string, ...string[]] => {
  const [host = '', port = '80'] = address.split(':');
  const ask = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 3 busybox nc -w 2 ${host} ${port} | tail -n 1`;
  return ['sh', '-c', ask];
};

const call = (host: TestHost, address: string): Promise<string> =>
  host.tool(...asking(address)).then((text) => text || 'nothing\n');

const untilAnswers = (host: TestHost, address: string, seconds = 60): Promise<string> =>
  poll(`${address} answers`, seconds * 1_000, async () => {
    const text = await call(host, address);
    return text === 'nothing\n' ? { not: text } : { is: text };
  });

async function refusal(host: TestHost, spec: SpecInit): Promise<{ code: string; wrong: Record<string, string> }> {
  try {
    await host.create(spec);
  } catch (error) {
    const fault = ConnectError.from(error);
    const violations = fault.details.flatMap((detail) =>
      'type' in detail && detail.type === 'google.rpc.BadRequest'
        ? fromBinary(BadRequestSchema, detail.value).fieldViolations
        : [],
    );
    const wrong = violations.map(({ field, description }) => [field, description]);
    return { code: Code[fault.code], wrong: Object.fromEntries(wrong.length > 0 ? wrong : [['', fault.rawMessage]]) };
  }
  throw new Error('the create was accepted');
}

const bridgeOf = async (host: TestHost): Promise<string> => {
  const [bridge] = JSON.parse(await host.tool('ip', '-j', 'link', 'show', 'type', 'bridge')) as { ifname: string }[];
  return bridge?.ifname ?? '';
};

test('a published port answers from everywhere, names lead to guests, and nothing is left', async (t) => {
  const host = await startHost(t);
  await using outside = await createNetns();
  const limits = { signal: AbortSignal.timeout(60_000), timeoutMs: 60_000 };
  await host.tool('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(outside.pid));
  await host.tool('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'up0');
  await host.tool('ip', 'link', 'set', 'up0', 'up');
  await outside.run(['ip', 'address', 'add', '192.0.2.2/24', 'dev', 'eth0'], limits);
  await outside.run(['ip', 'link', 'set', 'eth0', 'up'], limits);

  const published = [{ hostPort: 8080, guestPort: 80 }];
  const web = await host.create(scripted(host, 'web', WEB, published));
  const uid = web.spec?.uid ?? '';
  expect(web.spec?.interfaces[0]?.publishedPorts[0]).toMatchObject({ hostPort: 8080, guestPort: 80, protocol: 'tcp' });
  const ask = (url: string): string =>
    `i=0; until a=$(wget -q -O - http://${url}/); do i=$((i + 1)); [ $i -lt 60 ] || break; sleep 1; done; echo "asked ${url}: $a"`;
  const asked = ['web', 'web.flintlock.internal', '10.77.0.1:8080', '192.0.2.1:8080'];
  const client = await host.create(scripted(host, 'client', asked.map(ask).join('\n')));

  for (const address of ['127.0.0.1:8080', '10.77.0.1:8080', '192.0.2.1:8080'])
    expect(await untilAnswers(host, address)).toBe('this is web\n');
  expect(await outside.run(asking('192.0.2.1:8080'), limits)).toBe('this is web\n');
  const clientUid = client.spec?.uid ?? '';
  for (const url of asked) await host.untilConsole(clientUid, new RegExp(`asked ${url}: this is web`));

  const { status } = await host.get(uid);
  expect(status?.networkInterfaces.eth0).toMatchObject({
    hostname: 'web.flintlock.internal',
    addresses: ['10.77.0.2'],
  });
  expect(status?.conditions.find(({ type }) => type === 'NetworkReady')?.status).toBe('True');
  expect(await host.audit()).toEqual(CLEAN);

  for (const one of [uid, clientUid]) await host.vms.deleteMicroVM({ uid: one });
  for (const one of [uid, clientUid]) await host.untilGone(one);
  expect(await call(host, '127.0.0.1:8080')).toBe('nothing\n');
  expect(await host.tool('nft', 'list', 'ruleset')).not.toContain('8080');
  expect(await host.audit()).toEqual(CLEAN);
});

test('a port that is taken, and an address that is not the host’s, are refused by field', async (t) => {
  const host = await startHost(t);
  const spec = (id: string, ...publishedPorts: readonly Published[]): SpecInit =>
    demoSpec(id, {
      volumes: [],
      interfaces: [{ guestDeviceName: 'eth0', type: 1, publishedPorts: [...publishedPorts] }],
    });
  const at = (i: number, field: string): string => `interfaces[0].published_ports[${i}].${field}`;
  const to = (hostPort: number, more: Partial<Published> = {}): Published => ({ hostPort, guestPort: 80, ...more });

  const server = host.spawnInside('busybox', 'httpd', '-f', '-p', '127.0.0.1:7777', '-h', host.directory);
  t.onTestFinished(() => void server.kill('SIGKILL'));
  await poll('somebody listens', 5_000, async () => {
    const text = await host.tool('ss', '-Hltn');
    return text.includes(':7777') ? { is: true } : { not: text };
  });
  const wrong = await refusal(
    host,
    spec('x', to(0), to(80, { guestPort: 65_536, protocol: 'icmp' }), to(81, { hostIp: '::1' }), to(82), to(82)),
  );
  expect({ code: wrong.code, fields: Object.keys(wrong.wrong) }).toEqual({
    code: 'InvalidArgument',
    fields: [at(0, 'host_port'), at(1, 'guest_port'), at(1, 'protocol'), at(2, 'host_ip'), at(4, 'host_port')],
  });
  const taken = await refusal(host, spec('x', to(7777), to(53, { protocol: 'udp' }), to(90, { hostIp: '192.0.2.99' })));
  expect(taken).toEqual({
    code: 'InvalidArgument',
    wrong: {
      [at(0, 'host_port')]: expect.stringMatching(
        /^tcp port 7777 is taken by (httpd|busybox) \(pid \d+\): publish another/,
      ),
      [at(1, 'host_port')]: expect.stringContaining('DNS server'),
      [at(2, 'host_ip')]: expect.stringContaining('192.0.2.99 is no address of this host'),
    },
  });

  // Loopback's port is another's; the bridge's own address is free.
  const first = await host.create(spec('first', to(7777, { hostIp: '10.77.0.1' }), to(8080)));
  const second = await refusal(host, spec('second', to(8080, { hostIp: '127.0.0.1' })));
  expect(second.wrong[at(0, 'host_port')]).toMatch(/published by microVM default\/first \(\w+\) already/);
  const uid = first.spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  await host.kill9();
  await host.start();
  expect((await refusal(host, spec('second', to(8080)))).wrong).toHaveProperty([at(0, 'host_port')]);
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  await host.create(spec('second', to(8080)));
});

test('what other programs sweep away of the network is brought back, and guests are reached again', async (t) => {
  const host = await startHost(t);
  const vm = await host.create(scripted(host, 'web', WEB, [{ hostPort: 8080, guestPort: 80 }]));
  const uid = vm.spec?.uid ?? '';
  expect(await untilAnswers(host, '127.0.0.1:8080')).toBe('this is web\n');
  const leases = (): string => readFileSync(join(host.run, 'network/leases'), 'utf8');
  const servers = () => host.processes().filter(({ argv }) => argv[0] === 'dnsmasq');
  const [before, [server]] = [leases(), servers()];
  expect(before).toContain('10.77.0.2');

  if (!server) throw new Error('there is no DHCP server');
  process.kill(server.pid, 'SIGKILL');
  await poll('the DHCP server is back', 10_000, async () => {
    const now = servers();
    return now.length === 1 && now[0]?.pid !== server.pid ? { is: true } : { not: `${now.length} servers` };
  });
  expect(leases()).toBe(before);

  const bridge = await bridgeOf(host);
  await host.tool('ip', 'link', 'delete', bridge);
  expect(await untilAnswers(host, '127.0.0.1:8080', 15)).toBe('this is web\n');

  const rules = await host.tool('nft', 'list', 'ruleset');
  await host.tool('nft', 'flush', 'ruleset');
  expect(await untilAnswers(host, '127.0.0.1:8080', 15)).toBe('this is web\n');
  // What was counted of guests goes by itself.
  const sorted = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => !/ expires \d/.test(line))
      .sort();
  expect(sorted(await host.tool('nft', 'list', 'ruleset'))).toEqual(sorted(rules));

  // The VMM has it open, under whichever name.
  const tap = (await host.get(uid)).status?.networkInterfaces.eth0?.hostDeviceName ?? '';
  await host.tool('ip', 'link', 'set', 'dev', tap, 'down');
  await host.tool('ip', 'link', 'set', 'dev', tap, 'name', 'other');
  await host.tool('ip', 'route', 'delete', '10.77.0.0/24');
  expect(await untilAnswers(host, '127.0.0.1:8080', 15)).toBe('this is web\n');

  await host.kill9();
  await host.tool('ip', 'link', 'delete', bridge);
  await host.tool('nft', 'flush', 'ruleset');
  await host.start();
  expect(await untilAnswers(host, '127.0.0.1:8080', 15)).toBe('this is web\n');
  expect((await host.get(uid)).status?.reason).toBe('Running');
  expect(await host.audit()).toEqual(CLEAN);
  expect(host.log).toContain('the network is mended');

  // What the VMM has open of it is plugged into the one that takes its place, and the guest never knew.
  const network = async () =>
    (await host.get(uid)).status?.conditions.find(({ type }) => type === 'NetworkReady')?.message;
  const pid = host.vmm(uid);
  const opened = (): string[] =>
    readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
      try {
        if (!readlinkSync(`/proc/${pid}/fd/${name}`).endsWith('/net/tun')) return [];
        return [/^iff:\s*(\S*)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${name}`, 'utf8'))?.[1] ?? ''];
      } catch {
        return []; // closed meanwhile
      }
    });
  for (const isSeen of [true, false]) {
    if (!isSeen) await host.kill9();
    await host.tool('ip', 'link', 'delete', tap);
    if (!isSeen) await host.start();
    await expect.poll(opened, { timeout: 30_000 }).toEqual([tap]);
    expect(await untilAnswers(host, '127.0.0.1:8080', 30)).toBe('this is web\n');
    await poll('it is well', 30_000, async () => {
      const message = await network();
      return message === 'Made' ? { is: true } : { not: message ?? '' };
    });
  }
  expect(host.log).toContain('an interface that was deleted on the host is plugged in again');
  expect(host.vmm(uid)).toBe(pid);
  expect(await host.audit()).toEqual(CLEAN);
});

test('a second daemon on the same network is refused with the remedy; teardown puts the host back', async (t) => {
  const host = await startHost(t);
  const forwards = () => host.tool('cat', '/proc/sys/net/ipv4/ip_forward');
  await host.tool('sh', '-c', 'echo 0 >/proc/sys/net/ipv4/ip_forward');
  const made = await host.create(demoSpec('one', { volumes: [] }));
  const uid = made.spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  expect(await forwards()).toBe('1\n');

  const other = join(host.directory, 'other');
  const second = [`${ROOT}/bin/flintlockd`, 'run', '--state-dir', `${other}/state`, '--run-dir', `${other}/run`];
  const refused = await host.tryInside(
    ...second,
    ...['--grpc-endpoint', `unix://${other}/run/api.sock`, '--managed-network', '10.77.0.0/24'],
  );
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/10\.77\.0\.0\/24 overlaps the host's route .*choose another .*--managed-network/);

  const tearDown = [`${ROOT}/bin/flintlockd`, 'teardown', '--state-dir', host.state, '--run-dir', host.run];
  await host.stop();
  const early = await host.tryInside(...tearDown);
  expect(early).toMatchObject({ code: 1, stderr: expect.stringContaining('1 microVMs are still there') });
  await host.start();
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  await host.stop();
  expect((await host.tryInside(...tearDown)).code).toBe(0);
  expect(await forwards()).toBe('0\n');
  expect(await host.tool('nft', 'list', 'ruleset')).toBe('');
  expect(JSON.parse(await host.tool('ip', '-j', 'link')) as unknown[]).toHaveLength(1); // lo
  expect(host.processes()).toEqual([]);
  expect((await host.tryInside(...tearDown)).code).toBe(0);
});

test('--bridge-name plugs guests into a bridge of others, guards their MAC, and changes nothing else', async (t) => {
  const host = await startHost(t, { flags: ['--bridge-name', 'br0'] });
  const missing = await refusal(host, demoSpec('early'));
  expect(missing).toEqual({
    code: 'FailedPrecondition',
    wrong: { '': expect.stringMatching(/There is no bridge br0: make it/) },
  });
  const makeBridge = async (): Promise<void> => {
    await host.tool('ip', 'link', 'add', 'br0', 'type', 'bridge');
    await host.tool('ip', 'address', 'add', '10.99.0.1/24', 'dev', 'br0');
    await host.tool('ip', 'link', 'set', 'br0', 'up');
  };
  await makeBridge();
  const dhcp = host.spawnInside(
    ...['dnsmasq', '--conf-file=/dev/null', '--keep-in-foreground', '--port=0', '--user=root', '--pid-file'],
    ...['--interface=br0', '--bind-interfaces', `--dhcp-leasefile=${host.directory}/leases`],
    ...['--dhcp-range=10.99.0.10,10.99.0.10', '--dhcp-authoritative', '--no-ping'],
  );
  t.onTestFinished(() => void dhcp.kill('SIGKILL'));
  const settings = [
    'stp_state',
    'forward_delay',
    'ageing_time',
    'vlan_filtering',
    'multicast_snooping',
    'nf_call_iptables',
  ];
  const look = [
    `cd /proc/sys/net/ipv4 && cat ip_forward conf/br0/*`,
    `ip -4 -o address show br0 | sed 's/^[0-9]*: //; s/valid_lft.*//'`,
    `ip -j -d link show br0 | tr ',' '\\n' | grep -w -e ${settings.join(' -e ')} -e mtu`,
  ];
  const state = () => host.tool('sh', '-c', look.join('; '));
  const before = await state();

  const noPorts = await refusal(host, scripted(host, 'ports', 'true', [{ hostPort: 8080, guestPort: 80 }]));
  expect(noPorts.wrong['interfaces[0].published_ports[0]']).toContain('managed network only');

  const heard = (what: string): string =>
    `ping -c 2 -W 2 10.99.0.1 >/dev/null && echo "${what}: heard" || echo "${what}: not heard"`;
  const script = [
    heard('honest'),
    'nc -l -p 7 </dev/null',
    'ip link set eth0 address 52:54:00:66:66:66',
    heard('forged'),
  ];
  const vm = await host.create(scripted(host, 'guest', script.join('\n')));
  const uid = vm.spec?.uid ?? '';
  await host.untilConsole(uid, /honest: heard/);
  const { status } = await host.get(uid);
  expect(status?.networkInterfaces.eth0).toMatchObject({ hostname: '', guestMac: expect.stringMatching(/^..:/) });
  expect(await state()).toBe(before);
  expect(await host.tool('nft', 'list', 'tables')).toMatch(/^table bridge flintlock_\w+\n$/);
  expect(await host.audit()).toEqual(CLEAN);

  await host.tool('ip', 'link', 'delete', 'br0');
  expect((await refusal(host, demoSpec('late'))).code).toBe('FailedPrecondition');
  await makeBridge();
  await poll('the guest is reached again', 15_000, async () => {
    const { code } = await host.tryInside('ping', '-c', '1', '-W', '1', '10.99.0.10');
    return code === 0 ? { is: true } : { not: 'no answer' };
  });
  await host.tool('sh', '-c', 'echo | busybox nc -w 5 10.99.0.10 7');
  await host.untilConsole(uid, /forged: not heard/);
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await state()).toBe(before);
  expect(await host.audit()).toEqual(CLEAN);
});
