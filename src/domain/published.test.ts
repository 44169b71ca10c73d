import { expect, test } from 'vitest';
import { guestName } from './guest-name.ts';
import type { Uid } from './microvm.ts';
import { collide, publishedKey, publishedText } from './published.ts';
import type { PublishedPort, Spec } from './spec.ts';
import { validate } from './validate.ts';

const port = (hostPort: number, more: Partial<PublishedPort> = {}): PublishedPort => ({
  hostPort,
  guestPort: 80,
  protocol: 'tcp',
  hostIp: '',
  ...more,
});
const made = (id: string, namespace = '', nics: readonly string[] = ['eth0'], ports: readonly object[] = []): Spec =>
  validate(
    {
      id,
      namespace,
      labels: {},
      vcpu: 0,
      memoryInMb: 0,
      kernel: { image: 'k', cmdline: '', addNetworkConfig: false },
      initrd: { image: 'k' },
      volumes: [],
      interfaces: nics.map((name, i) => ({
        name,
        type: 'TAP',
        allowMetadata: false,
        publishedPorts: i === 0 ? ports.map((p) => ({ ...port(1), protocol: '', ...p })) : [],
      })),
      metadata: {},
      provider: '',
      restartPolicy: 'ON_FAILURE',
      providerOptions: {},
      outputsSet: [],
    },
    'made',
  );
const uid = '01JDGZ0000000000000000000A' as Uid;

test('ports collide on every address or on the same, of one protocol', () => {
  const [all, one, other] = [port(80), port(80, { hostIp: '192.0.2.1' }), port(80, { hostIp: '192.0.2.2' })];
  expect([collide(all, all), collide(all, one), collide(one, all), collide(one, one)]).toEqual(Array(4).fill(true));
  expect([collide(one, other), collide(all, port(81)), collide(all, port(80, { protocol: 'udp' }))]).toEqual(
    Array(3).fill(false),
  );
  expect([publishedKey(all), publishedKey(one)]).toEqual(['tcp/80/', 'tcp/80/192.0.2.1']);
  expect([publishedText(all), publishedText(one)]).toEqual(['tcp port 80', 'tcp port 80 of 192.0.2.1']);
});

test('a protocol left out is tcp, and 0.0.0.0 every address', () => {
  const ports = [{ hostPort: 1 }, { hostPort: 65_535, hostIp: '0.0.0.0' }, { hostPort: 1, protocol: 'udp' }];
  expect(made('web', '', ['eth0'], ports).interfaces[0]?.publishedPorts).toEqual([
    port(1),
    port(65_535),
    port(1, { protocol: 'udp' }),
  ]);
});

test.each([
  [{ hostPort: 0 }, 'published_ports[0].host_port: 0 is no port'],
  [{ hostPort: -1 }, 'published_ports[0].host_port: -1 is no port'],
  [{ guestPort: 65_536 }, 'published_ports[0].guest_port: 65536 is no port'],
  [{ protocol: 'TCP' }, 'published_ports[0].protocol: "TCP" must be tcp or udp'],
  [{ hostIp: '::1' }, 'published_ports[0].host_ip: "::1" must be an IPv4 address'],
  [{ hostIp: '1.2.3.4; drop' }, 'published_ports[0].host_ip'],
])('%j is refused', (wrong, says) => {
  expect(() => made('web', '', ['eth0'], [wrong])).toThrow(says);
});

test('a port twice, and too many, are refused', () => {
  expect(() => made('web', '', ['eth0'], [port(80), port(80, { hostIp: '127.0.0.1' })])).toThrow(
    'interfaces[0].published_ports[1].host_port: tcp port 80 of 127.0.0.1 is published twice: interfaces[0].published_ports[0]',
  );
  const many = Array.from({ length: 257 }, (_, i) => port(i + 1));
  expect(() => made('web', '', ['eth0'], many)).toThrow('publish 257 ports together: at most 256');
});

const ANYHOW = 'vm-01jdgz0000000000000000000a';

test.each<readonly [Spec, string, readonly string[], string]>([
  [made('web'), 'eth0', [], 'web'],
  [made('Web_1.x'), 'eth0', [], 'web-1-x'],
  [made('web', 'team', ['eth0', 'eth1']), 'eth1', [], 'web-eth1'],
  [made('web', 'team'), 'eth0', ['web'], 'web-team'],
  [made('web', 'team'), 'eth0', ['web', 'web-team'], 'vm-01jdgz0000000000000000000a'],
  [made('web', 'team', ['eth0', 'eth1']), 'eth1', ['web-eth1', 'web-eth1-team'], 'vm-01jdgz0000000000000000000a-1'],
  // Words and numbers that mean something else to the DHCP server.
  [made('12h'), 'eth0', [], '12h-default'],
  [made('ignore'), 'eth0', [], 'ignore-default'],
  [made('a'.repeat(80)), 'eth0', [], 'a'.repeat(63)],
  // What means something else is nobody's, by whatever way one comes to it.
  ...[
    'localhost',
    'LocalHost',
    'local',
    'wpad',
    'isatap',
    'autodiscover',
    'metadata',
    'gateway',
    'host',
    'internal',
  ].map((id) => [made(id, 'team'), 'eth0', [] as string[], ANYHOW] as const),
  ...['localhost-', 'gateway_', 'wpad=', 'puppet_', 'instance.data', 'home-', 'hv1', 'flabcdbr', 'xn--pple-43d'].map(
    (id) => [made(id, 'team'), 'eth0', [] as string[], ANYHOW] as const,
  ),
  [made('vm-01jdgz0000000000000000abce'), 'eth0', [], ANYHOW],
  [made('0x7f000001'), 'eth0', [], '0x7f000001-default'],
  [made('ip6', '', ['eth0', 'localhost']), 'localhost', [], `${ANYHOW}-1`],
  [made('use-application', '', ['eth0', 'dns']), 'dns', [], `${ANYHOW}-1`],
  [made('localhost2'), 'eth0', [], 'localhost2'],
  [made('test-1'), 'eth0', [], 'test-1'],
])('the name of %o', (spec, nic, taken, name) => {
  expect(guestName(spec, uid, nic, new Set(taken), new Set(['hv1']))).toBe(name);
});
