import { expect, test } from 'vitest';
import type { VmmConfig } from '../../ports/vmm.ts';
import { machineOf } from './machine.ts';
import { isFrom, versionIn } from './version.ts';

const config: VmmConfig = {
  ...{ uid: '01UID', runDirectory: '/run/vm/01UID', stateDirectory: '/state/vm/01UID', user: 77_001 },
  ...{ vcpu: 2, memoryInMb: 64, kernel: '/images/vmlinux', initrd: '/images/initrd', cmdline: '' },
  disks: [
    { id: 'a-root.disk', path: '/state/disk0.img', format: 'raw', readOnly: false, isRoot: true },
    { id: 'data', path: '/images/golden', format: 'raw', readOnly: true, isRoot: false },
  ],
  nics: [
    { device: 'fltap0', mac: '02:00:00:00:00:01' },
    { device: 'fltap1', mac: '02:00:00:00:00:02', mtu: 1_400 },
  ],
};
const bodies = (version?: string) =>
  machineOf(config, 'console=ttyS0', version === undefined ? undefined : versionIn(`Firecracker v${version}`)).map(
    ({ path, body }) => [path, body],
  );

test('Firecracker is told of a machine in the order of its guest', () => {
  expect(bodies('1.17.0-dev')).toEqual([
    ['/machine-config', { vcpu_count: 2, mem_size_mib: 64, smt: false }],
    [
      '/boot-source',
      { kernel_image_path: '/proc/self/fd/4', initrd_path: '/proc/self/fd/5', boot_args: 'console=ttyS0' },
    ],
    [
      '/drives/disk0',
      {
        ...{ drive_id: 'disk0', path_on_host: '/proc/self/fd/6', is_read_only: false },
        ...{ is_root_device: false, cache_type: 'Writeback' },
      },
    ],
    [
      '/drives/disk1',
      {
        ...{ drive_id: 'disk1', path_on_host: '/proc/self/fd/7', is_read_only: true },
        ...{ is_root_device: false, cache_type: 'Unsafe' },
      },
    ],
    ['/network-interfaces/net0', { iface_id: 'net0', host_dev_name: 'fltap0', guest_mac: '02:00:00:00:00:01' }],
    [
      '/network-interfaces/net1',
      { iface_id: 'net1', host_dev_name: 'fltap1', guest_mac: '02:00:00:00:00:02', mtu: 1_400 },
    ],
    ['/vsock', { guest_cid: 3, uds_path: 'agent.sock' }],
    ['/entropy', {}],
  ]);
});

test('there is a way to an agent unless it is off, or its own devices leave no place', () => {
  const hasWay = (changes: Partial<VmmConfig>) =>
    machineOf({ ...config, ...changes }, '').some(({ path }) => path === '/vsock');
  const nics = (count: number) => Array.from({ length: count }, (_, i) => ({ device: `t${i}`, mac: '' }));
  expect(hasWay({ options: { agent: 'off' } })).toBe(false);
  expect([hasWay({ nics: nics(13) }), hasWay({ nics: nics(14) })]).toEqual([true, false]);
});

test('who may ask for metadata is told behind the interfaces, and what is answered', () => {
  const [first, second] = config.nics;
  if (!first || !second) throw new Error('there are two');
  const metadata = { version: 'v2', data: { latest: { x: 'y' } } } as const;
  const told = machineOf({ ...config, nics: [first, { ...second, asksMetadata: true }], metadata }, '');
  expect(told.slice(-3).map(({ path, body }) => [path, body])).toEqual([
    ['/mmds/config', { version: 'V2', network_interfaces: ['net1'] }],
    ['/mmds', { latest: { x: 'y' } }],
    ['/entropy', {}],
  ]);
});

test('threads and huge pages are as the options say', () => {
  const options = { 'firecracker.smt': 'on', 'firecracker.huge_pages': '2M' };
  expect(machineOf({ ...config, options }, '')[0]?.body).toMatchObject({ smt: true, huge_pages: '2M' });
});

test('one that knows of no MTU, or that is not known, is not told of one', () => {
  for (const version of ['1.15.1', undefined])
    expect(bodies(version)).toContainEqual([
      '/network-interfaces/net1',
      { iface_id: 'net1', host_dev_name: 'fltap1', guest_mac: '02:00:00:00:00:02' },
    ]);
});

test.each([
  ['Firecracker v1.17.0-dev\n\n2026-11-29T10:00:00 [anonymous-instance:main] exiting', '1.17.0-dev'],
  ['Firecracker v1.7.0\n', '1.7.0'],
  ['QEMU emulator version 7.2.22', undefined],
  ['', undefined],
])('%j is version %s', (said, text) => {
  expect(versionIn(said)?.text).toBe(text);
});

test('versions are compared by number', () => {
  expect(isFrom({ major: 1, minor: 10 }, { major: 1, minor: 7 })).toBe(true);
  expect(isFrom({ major: 2, minor: 0 }, { major: 1, minor: 7 })).toBe(true);
  expect(isFrom({ major: 1, minor: 6 }, { major: 1, minor: 7 })).toBe(false);
});

test('a balloon is told last, and takes the place of a device', () => {
  const options = { balloon: 'on' };
  expect(machineOf({ ...config, options }, '').at(-1)).toMatchObject({
    path: '/balloon',
    body: { amount_mib: 0, deflate_on_oom: true, free_page_reporting: true },
  });
  const nics = Array.from({ length: 13 }, (_, i) => ({ device: `t${i}`, mac: '' }));
  expect(machineOf({ ...config, nics, options }, '').some(({ path }) => path === '/vsock')).toBe(false);
});
