import { expect, test } from 'vitest';
import { type Capabilities, lacksOf } from './capabilities.ts';
import type { InterfaceSpec, Spec, VolumeSpec } from './spec.ts';

const table: Capabilities = {
  machine: 'The machine',
  diskFormats: ['raw'],
  interfaceTypes: ['TAP'],
  ...{ pause: false, rebootInPlace: false, powerButton: false, consoleInput: false, snapshot: false },
  channels: [],
  ...{ balloon: true, mmds: false },
  limits: {
    vcpu: { most: 4, note: 'on Sundays' },
    memoryInMb: { least: 64, most: 128 },
    ...{ disks: 3, interfaces: 2 },
    devices: { most: 4, note: 'without a bridge' },
  },
};
const volume = (n: number): VolumeSpec => ({
  ...{ id: `v${n}`, isRoot: n === 0, isReadOnly: false, mountPoint: '', image: 'oci:/i:t' },
});
const tap: InterfaceSpec = { name: 'eth0', type: 'TAP', allowMetadata: false, publishedPorts: [] };
const spec: Spec = {
  ...{ id: 'a', namespace: 'default', labels: {}, vcpu: 2, memoryInMb: 96, provider: '' },
  kernel: { image: 'oci:/k:t', cmdline: '', addNetworkConfig: false },
  ...{ volumes: [volume(0)], interfaces: [], restartPolicy: 'ON_FAILURE', providerOptions: {} },
};
const volumes = (count: number) => Array.from({ length: count }, (_, n) => volume(n));
const taps = (count: number) => Array.from({ length: count }, (_, n) => ({ ...tap, name: `eth${n}` }));

test.each<[string, Partial<Spec>, readonly string[]]>([
  ['what it can do', {}, []],
  ['all that it can do', { vcpu: 4, memoryInMb: 128, volumes: volumes(3), interfaces: taps(1) }, []],
  ['CPUs', { vcpu: 5 }, ['vcpu: is 5; The machine takes 1 to 4 on Sundays']],
  ['half a CPU', { vcpu: 0.5 }, ['vcpu: is 0.5; The machine takes 1 to 4 on Sundays']],
  ['memory', { memoryInMb: 32 }, ['memory_in_mb: is 32; The machine takes 64 to 128']],
  [
    'a type of interface',
    { interfaces: [tap, { ...tap, name: 'eth1', type: 'MACVTAP' }] },
    ['interfaces[1].type: The machine has no MACVTAP interfaces'],
  ],
  [
    'devices',
    { volumes: volumes(3), interfaces: taps(2) },
    ['volumes: there are 3 volumes and 2 interfaces; The machine has room for 4 of them together without a bridge'],
  ],
  ['disks', { volumes: volumes(4) }, ['volumes: there are 4 volumes; The machine has room for 3 disks']],
  [
    'a disk for metadata',
    { volumes: volumes(3), metadataRef: { generation: 1, bytes: 1 } },
    ['volumes: there are 3 volumes, a disk for metadata; The machine has room for 3 disks'],
  ],
  ['interfaces', { interfaces: taps(3) }, ['interfaces: there are 3 interfaces; The machine has room for 2']],
])('%s', (_, changes, lacks) => {
  const found = lacksOf({ ...spec, ...changes }, table);
  expect(found.map(({ field, description }) => `${field}: ${description}`)).toEqual(lacks);
});

test('a balloon takes the place of a disk or an interface', () => {
  const full = { ...spec, volumes: volumes(3), interfaces: taps(1) };
  expect(lacksOf(full, table)).toEqual([]);
  expect(lacksOf({ ...full, providerOptions: { balloon: 'on' } }, table)).toEqual([
    {
      field: 'volumes',
      description: expect.stringContaining('has room for 3 of them together beside a balloon without a bridge'),
    },
  ]);
});
