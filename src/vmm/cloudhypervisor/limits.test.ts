import { expect, test } from 'vitest';
import type { Spec, VolumeSpec } from '../../domain/spec.ts';
import { violationsOf } from './limits.ts';
import { bootAdvice, remarksOf } from './remarks.ts';

const volume = (n: number): VolumeSpec => ({
  id: `v${n}`,
  isRoot: n === 0,
  isReadOnly: false,
  mountPoint: '',
  image: 'oci:/i:t',
});
const volumes = (n: number) => Array.from({ length: n }, (_, i) => volume(i));
const nics = (n: number, type: 'TAP' | 'MACVTAP' = 'TAP'): Spec['interfaces'] =>
  Array.from({ length: n }, (_, i) => ({ name: `eth${i}`, type, allowMetadata: false, publishedPorts: [] }));
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
const fieldsOf = (changes: Partial<Spec>): string[] => violationsOf({ ...spec, ...changes }).map(({ field }) => field);

test.each<[Partial<Spec>, string[]]>([
  [{}, []],
  [{ vcpu: 0 }, ['vcpu']],
  [{ vcpu: 33 }, []],
  [{ vcpu: 255 }, ['vcpu']],
  [{ memoryInMb: 31 }, ['memory_in_mb']],
  [{ memoryInMb: 1 << 20 }, ['memory_in_mb']],
  [{ volumes: volumes(26) }, []],
  [{ volumes: volumes(27) }, ['volumes']],
  [{ volumes: volumes(31) }, ['volumes']],
  [{ volumes: volumes(9), interfaces: nics(20) }, []],
  [{ volumes: volumes(10), interfaces: nics(20) }, ['interfaces']],
  [{ interfaces: nics(2, 'MACVTAP') }, []],
  [{ providerOptions: { 'qemu.acpi': 'on' } }, ['provider_options[qemu.acpi]']],
  [{ kernel: { ...spec.kernel, cmdline: 'x'.repeat(2_048) } }, ['kernel.cmdline']],
])('%o', (changes, fields) => expect(fieldsOf(changes)).toEqual(fields));

test('what a kernel lacks for this machine is told, once it is known', () => {
  const withDevices = { ...spec, interfaces: nics(1) };
  expect(remarksOf(withDevices, {})).toEqual({ chosen: [], warnings: [] });
  expect(remarksOf(withDevices, { parts: ['acpi', 'pci', 'virtio-blk'] }).warnings).toEqual([]);
  expect(remarksOf(withDevices, { parts: ['virtio-mmio', 'virtio-blk'] }).warnings).toEqual([
    expect.stringMatching(/no PCI code/),
    expect.stringMatching(/no ACPI code/),
  ]);
  expect(remarksOf(withDevices, { parts: ['acpi', 'pci'] }).warnings).toEqual([
    expect.stringMatching(/no driver for disks/),
  ]);
});

test('the advice follows from the kernel and the root', () => {
  const disk = { id: 'r', path: '/r', format: 'raw', readOnly: false, isRoot: true } as const;
  expect(bootAdvice({ disks: [disk] })).toMatch(/CONFIG_VIRTIO_PCI/);
  expect(bootAdvice({ disks: [disk], kernelFacts: { parts: [] } })).toMatch(/no PCI code .* take another kernel$/);
  expect(bootAdvice({ disks: [{ ...disk, partitionUuid: 'aa' }] })).toMatch(/^Its root is a partition/);
});
