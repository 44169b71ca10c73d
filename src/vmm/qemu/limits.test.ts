import { expect, test } from 'vitest';
import type { Spec, VolumeSpec } from '../../domain/spec.ts';
import { violationsOf } from './limits.ts';

const volume = (n: number): VolumeSpec => ({
  id: `v${n}`,
  isRoot: n === 0,
  isReadOnly: false,
  mountPoint: '',
  image: 'oci:/i:t',
});
const spec: Spec = {
  id: 'a',
  namespace: 'default',
  labels: {},
  vcpu: 2,
  memoryInMb: 96,
  kernel: { image: 'oci:/k:t', cmdline: '', addNetworkConfig: false },
  volumes: [volume(0)],
  interfaces: [],
  provider: '',
  restartPolicy: 'ON_FAILURE',
  providerOptions: {},
};
const tcg = { accelerator: 'tcg', acpi: true, tscKhz: 2_596_132 } as const;
const fieldsOf = (changes: Partial<Spec>, machine: Parameters<typeof violationsOf>[1] = tcg): string[] =>
  violationsOf({ ...spec, ...changes }, machine).map(({ field }) => field);

test('an ordinary spec has nothing against it', () => expect(fieldsOf({})).toEqual([]));

test.each([
  [0, ['vcpu']],
  [255, []],
  [256, ['vcpu']],
  [1.5, ['vcpu']],
])('%d virtual CPUs under software emulation', (vcpu, fields) => expect(fieldsOf({ vcpu })).toEqual(fields));

test('KVM takes more CPUs', () => {
  const kvm = { accelerator: 'kvm', acpi: true } as const;
  expect(fieldsOf({ vcpu: 288 }, kvm)).toEqual([]);
  expect(fieldsOf({ vcpu: 289 }, kvm)).toEqual(['vcpu']);
});

test.each([
  [31, ['memory_in_mb']],
  [32, []],
  [1_047_552, []],
  [1_047_553, ['memory_in_mb']],
])('%d MiB', (memoryInMb, fields) => expect(fieldsOf({ memoryInMb })).toEqual(fields));

test('disks and interfaces share the slots', () => {
  const volumes = Array.from({ length: 22 }, (_, n) => volume(n));
  const nic = { name: 'eth0', type: 'TAP', allowMetadata: false, publishedPorts: [] } as const;
  expect(fieldsOf({ volumes, interfaces: [nic] })).toEqual([]);
  expect(fieldsOf({ volumes, interfaces: [nic, { ...nic, name: 'eth1' }] })).toEqual(['volumes']);
  const metadataRef = { generation: 1, bytes: 1 };
  // Metadata that no interface may ask for takes a disk.
  expect(fieldsOf({ volumes, interfaces: [nic], metadataRef })).toEqual(['volumes']);
  expect(fieldsOf({ volumes, interfaces: [{ ...nic, allowMetadata: true }], metadataRef })).toEqual([]);
  expect(fieldsOf({ volumes: [], interfaces: Array(24).fill(nic) })).toEqual(['interfaces']);
  expect(fieldsOf({ volumes: volumes.slice(0, 8) }, { accelerator: 'tcg', acpi: false })).toEqual(['volumes']);
});

test('a command line that the kernel would cut is refused', () => {
  const cmdline = (bytes: number) => ({ kernel: { ...spec.kernel, cmdline: 'x'.repeat(bytes) } });
  expect(fieldsOf(cmdline(1_950))).toEqual([]);
  expect(fieldsOf(cmdline(2_000))).toEqual(['kernel.cmdline']);
  expect(violationsOf({ ...spec, ...cmdline(2_000) }, tcg)[0]?.description).toMatch(/2\d{3} bytes .* first 2047/);
});

test('mounts and names count as well, and are told', () => {
  const words = ['flintlock.mount=vdb:/data', `network-config=${'x'.repeat(1_800)}`];
  expect(violationsOf(spec, tcg, words)).toEqual([]);
  const [wrong, ...others] = violationsOf(spec, tcg, [...words, `flintlock.mount=vdc:/${'y'.repeat(200)}`]);
  expect(others).toEqual([]);
  expect(wrong?.field).toBe('kernel.cmdline');
  expect(wrong?.description).toMatch(
    /^makes 2\d{3} bytes with the defaults, 248 for the mount_points, 1816 for add_network_config; /,
  );
});

test('a root in a partition has a longer name', () => {
  const volumes = [{ ...volume(0), partitionId: 'abcdef01-1111-2222-3333-444444444444' }];
  const kernel = { ...spec.kernel, cmdline: 'x'.repeat(1_950) };
  expect(fieldsOf({ kernel })).toEqual([]);
  expect(fieldsOf({ kernel, volumes })).toEqual(['kernel.cmdline']);
});

test('options that are none are refused, with those there are', () => {
  const wrong = (providerOptions: Record<string, string>) =>
    violationsOf({ ...spec, providerOptions }, tcg).map(({ field, description }) => `${field}: ${description}`);
  expect(wrong({ 'qemu.acpi': 'off' })).toEqual([]);
  expect(wrong({ 'qemu.acpi': 'maybe', constructor: 'x' })).toEqual([
    'provider_options[qemu.acpi]: "maybe" must be on or off',
    "provider_options[constructor]: is no option of QEMU's; there are: qemu.acpi, qemu.channel",
  ]);
});

test('a vsock wants what the host makes it with', () => {
  const providerOptions = { 'qemu.channel': 'vsock' };
  const found = (hasVsock?: boolean) => violationsOf({ ...spec, providerOptions }, tcg, [], { hasVsock });
  expect([found(true), found()]).toEqual([[], []]);
  expect(found(false)).toEqual([
    { field: 'provider_options[qemu.channel]', description: expect.stringContaining('modprobe vhost_vsock') },
  ]);
  expect(violationsOf(spec, tcg, [], { hasVsock: false })).toEqual([]);
  expect(fieldsOf({ providerOptions: { 'qemu.channel': 'pipe' } })).toEqual(['provider_options[qemu.channel]']);
});
