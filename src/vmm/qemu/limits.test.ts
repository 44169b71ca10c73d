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
  metadata: {},
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
  expect(fieldsOf({ volumes: [], interfaces: Array(24).fill(nic) })).toEqual(['interfaces']);
  expect(fieldsOf({ volumes: volumes.slice(0, 8) }, { accelerator: 'tcg', acpi: false })).toEqual(['volumes']);
});

test('a command line that the kernel would cut is refused', () => {
  const cmdline = (bytes: number) => ({ kernel: { ...spec.kernel, cmdline: 'x'.repeat(bytes) } });
  expect(fieldsOf(cmdline(1_950))).toEqual([]);
  expect(fieldsOf(cmdline(2_000))).toEqual(['kernel.cmdline']);
  expect(violationsOf({ ...spec, ...cmdline(2_000) }, tcg)[0]?.description).toMatch(/2\d{3} bytes .* first 2047/);
});
