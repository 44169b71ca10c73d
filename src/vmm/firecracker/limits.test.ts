import { expect, test } from 'vitest';
import type { Spec, VolumeSpec } from '../../domain/spec.ts';
import { bootAdvice } from './boot-advice.ts';
import { violationsOf } from './limits.ts';
import { remarksOf } from './remarks.ts';
import { versionIn } from './version.ts';

const volume = (n: number): VolumeSpec => ({
  ...{ id: `v${n}`, isRoot: n === 0, isReadOnly: false, mountPoint: '', image: 'oci:/i:t' },
});
const nic = { name: 'eth0', type: 'TAP', allowMetadata: false, publishedPorts: [] } as const;
const spec: Spec = {
  ...{ id: 'a', namespace: 'default', labels: {}, vcpu: 2, memoryInMb: 96 },
  kernel: { image: 'oci:/k:t', cmdline: '', addNetworkConfig: false },
  ...{ volumes: [volume(0)], interfaces: [nic], provider: '', restartPolicy: 'ON_FAILURE', providerOptions: {} },
};
const PCI = { 'firecracker.pci': 'on' };
const fieldsOf = (changes: Partial<Spec>): string[] => violationsOf({ ...spec, ...changes }).map(({ field }) => field);

test.each([
  ['an ordinary spec', {}, []],
  ['no CPU', { vcpu: 0 }, ['vcpu']],
  ['the most CPUs', { vcpu: 32 }, []],
  ['too many CPUs', { vcpu: 33 }, ['vcpu']],
  ['too little memory', { memoryInMb: 8 }, ['memory_in_mb']],
  ['a macvtap', { interfaces: [{ ...nic, type: 'MACVTAP' as const }] }, ['interfaces[0].type']],
  ['the most disks', { volumes: Array.from({ length: 15 }, (_, n) => volume(n)) }, []],
  ['a disk too many', { volumes: Array.from({ length: 16 }, (_, n) => volume(n)) }, ['volumes']],
  ['far too many disks', { volumes: Array.from({ length: 31 }, (_, n) => volume(n)) }, ['volumes']],
  ['far too many interfaces', { interfaces: Array.from({ length: 20 }, () => nic) }, ['interfaces']],
  ["an option of another's", { providerOptions: { 'qemu.acpi': 'on' } }, ['provider_options[qemu.acpi]']],
  ['an option that is none', { providerOptions: { 'firecracker.smt': 'yes' } }, ['provider_options[firecracker.smt]']],
  ['pairs of threads', { providerOptions: { 'firecracker.smt': 'on' } }, []],
  ['one and a half pairs', { vcpu: 3, providerOptions: { 'firecracker.smt': 'on' } }, ['vcpu']],
  ['half a huge page', { memoryInMb: 97, providerOptions: { 'firecracker.huge_pages': '2M' } }, ['memory_in_mb']],
  ['the most disks on PCI', { volumes: Array.from({ length: 29 }, (_, n) => volume(n)), providerOptions: PCI }, []],
  [
    'a disk too many on PCI',
    { volumes: Array.from({ length: 30 }, (_, n) => volume(n)), providerOptions: PCI },
    ['volumes'],
  ],
  ['metadata of its own', { interfaces: [{ ...nic, allowMetadata: true }], providerOptions: { mmds: 'v2' } }, []],
  ['metadata that nobody may ask for', { providerOptions: { mmds: 'v1' } }, ['provider_options[mmds]']],
])('%s', (_, changes, fields) => expect(fieldsOf(changes)).toEqual(fields));

test('what is put behind the command line counts, with a word for each device', () => {
  const cmdline = (bytes: number) => ({ kernel: { ...spec.kernel, cmdline: 'x'.repeat(bytes) } });
  const most = Array.from({ length: 2_047 }, (_, n) => n).findLast((n) => fieldsOf(cmdline(n)).length === 0) ?? 0;
  expect(most).toBeGreaterThan(1_700);
  const volumes = [0, 1, 2].map(volume);
  expect(fieldsOf({ ...cmdline(most), volumes })).toEqual(['kernel.cmdline']);
  expect(fieldsOf({ ...cmdline(most - 80), volumes })).toEqual([]);
});

test('a kernel of a form that this version does not boot is refused before anything is made', () => {
  const fields = (form: 'bzImage' | 'vmlinux', said: string) =>
    violationsOf(spec, [], { kernel: { form }, version: versionIn(said) }).map(({ field }) => field);
  expect(fields('bzImage', 'Firecracker v1.16.1')).toEqual(['kernel.filename']);
  expect(fields('bzImage', 'Firecracker v1.17.0-dev')).toEqual([]);
  expect(fields('bzImage', '')).toEqual([]);
  expect(fields('vmlinux', 'Firecracker v1.7.0')).toEqual([]);
});

test('a kernel that may not see its disks is told of, and what to try', () => {
  const warnings = (...parts: Parameters<typeof remarksOf>[1]['parts'] & {}) => remarksOf(spec, { parts }).warnings;
  expect(warnings('virtio-mmio', 'virtio-mmio on the command line', 'virtio-blk')).toEqual([]);
  expect(warnings('virtio-blk')).toEqual([expect.stringContaining('CONFIG_VIRTIO_MMIO)')]);
  expect(warnings('virtio-mmio', 'virtio-blk')).toEqual([
    expect.stringContaining('CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES'),
  ]);
  expect(warnings('virtio-mmio', 'acpi')).toEqual([expect.stringContaining('CONFIG_VIRTIO_BLK')]);
  expect(remarksOf(spec, {}).warnings).toEqual([]);
  const root = { isRoot: true, partitionUuid: 'aa' };
  expect(bootAdvice({ kernelFacts: { parts: [] }, disks: [root] })).toMatch(
    /CONFIG_EFI_PARTITION.*CONFIG_VIRTIO_MMIO\)/,
  );
  expect(bootAdvice({ disks: [] })).toMatch(/take another kernel, or another provider$/);
  expect(bootAdvice({ kernelFacts: { parts: ['virtio-mmio', 'virtio-mmio on the command line'] }, disks: [] })).toMatch(
    /something else$/,
  );
});

test('huge pages that the host has not are refused, and a bus that the version has not', () => {
  const wrong = (providerOptions: Spec['providerOptions'], known: Parameters<typeof violationsOf>[2]) =>
    violationsOf({ ...spec, providerOptions }, [], known).map(({ field, description }) => `${field} ${description}`);
  const huge = { 'firecracker.huge_pages': '2M' };
  expect(wrong(huge, { freeHugePages: 48 })).toEqual([]);
  expect(wrong(huge, {})).toEqual([]);
  expect(wrong({}, { freeHugePages: 0 })).toEqual([]);
  expect(wrong(huge, { freeHugePages: 47 })).toEqual([
    expect.stringMatching(/huge_pages\] is 2M, for which 48 .* has 47: reserve/),
  ]);
  expect(wrong(PCI, { version: versionIn('Firecracker v1.13.0') })).toEqual([]);
  expect(wrong(PCI, { version: versionIn('Firecracker v1.12.1') })).toEqual([
    expect.stringMatching(/pci\] is on, and Firecracker 1\.12\.1 has no PCI bus \(1\.13 has\)/),
  ]);
});

test('a balloon wants a version that takes freed memory back', () => {
  const providerOptions = { balloon: 'on' };
  const of = (minor: number) =>
    violationsOf({ ...spec, providerOptions }, [], { version: { major: 1, minor, text: `1.${minor}.0` } });
  expect([of(14), of(17)]).toEqual([[], []]);
  expect(of(13)).toEqual([
    {
      field: 'provider_options[balloon]',
      description: expect.stringMatching(/^is on, and Firecracker 1\.13\.0 takes/),
    },
  ]);
});
