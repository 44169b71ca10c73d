import { create, fromBinary, toBinary, type UnknownEnum } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ImagePull_Policy, MicroVMSpecSchema } from '../../gen/types/microvm_pb.ts';
import { specToDraft } from './from-wire.ts';

/** A value of a newer protocol, or of a hostile caller. */
const unknownEnum = (value: number): UnknownEnum => value as UnknownEnum;

test('an empty spec is an empty draft', () => {
  expect(specToDraft(create(MicroVMSpecSchema))).toEqual({
    id: '',
    namespace: '',
    labels: {},
    vcpu: 0,
    memoryInMb: 0,
    volumes: [],
    interfaces: [],
    metadata: {},
    provider: '',
    restartPolicy: 'ON_FAILURE',
    providerOptions: {},
    outputsSet: [],
  });
});

test('every field reaches the draft', () => {
  const port = { hostPort: 80, guestPort: 8080, protocol: 'tcp', hostIp: '' };
  const spec = create(MicroVMSpecSchema, {
    id: 'a',
    namespace: 'n',
    labels: { l: '1' },
    vcpu: 1,
    memoryInMb: 64,
    kernel: { image: 'k', cmdline: 'quiet', filename: 'vmlinuz', addNetworkConfig: true },
    initrd: { image: 'i', filename: '' },
    volumes: [
      { id: 'root', isRoot: true, source: { containerSource: 'r' }, partitionId: 'p', sizeInMb: 9 },
      { id: 'bare', isReadOnly: true, mountPoint: '/m', source: {} },
    ],
    interfaces: [
      { guestDeviceName: 'eth0', type: 1, allowMetadataReq: true, guestMac: 'm', address: '', publishedPorts: [port] },
      { guestDeviceName: 'eth1', type: unknownEnum(9) },
    ],
    metadata: { k: 'dg==' },
    provider: 'qemu',
    restartPolicy: unknownEnum(7),
    providerOptions: { 'qemu.acpi': 'off' },
    pullPolicy: ImagePull_Policy.MISSING,
  });
  expect(specToDraft(spec)).toEqual({
    id: 'a',
    namespace: 'n',
    labels: { l: '1' },
    vcpu: 1,
    memoryInMb: 64,
    kernel: { image: 'k', cmdline: 'quiet', filename: 'vmlinuz', addNetworkConfig: true },
    initrd: { image: 'i' },
    volumes: [
      { id: 'root', isRoot: true, isReadOnly: false, mountPoint: '', image: 'r', partitionId: 'p', sizeInMb: 9 },
      { id: 'bare', isRoot: false, isReadOnly: true, mountPoint: '/m' },
    ],
    interfaces: [
      { name: 'eth0', type: 'TAP', allowMetadata: true, mac: 'm', address: '', publishedPorts: [port] },
      { name: 'eth1', type: '9', allowMetadata: false, publishedPorts: [] },
    ],
    metadata: { k: 'dg==' },
    provider: 'qemu',
    restartPolicy: '7',
    providerOptions: { 'qemu.acpi': 'off' },
    pullPolicy: 'MISSING',
    outputsSet: [],
  });
});

test('a pull policy that is none is named by its number', () => {
  expect(specToDraft(create(MicroVMSpecSchema, { pullPolicy: unknownEnum(9) })).pullPolicy).toBe('9');
});

test('outputs that the caller set are named', () => {
  const now = timestampFromMs(0);
  const spec = create(MicroVMSpecSchema, { createdAt: now, updatedAt: now, deletedAt: now, uid: 'u', generation: 1n });
  expect(specToDraft(spec).outputsSet).toEqual(['created_at', 'updated_at', 'deleted_at', 'uid', 'generation']);
});

test('any bytes that are a spec make a draft', () => {
  const text = fc.string({ unit: 'grapheme' });
  const optional = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });
  const record = fc.record({
    id: text,
    labels: fc.dictionary(text, text),
    vcpu: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    kernel: optional(fc.record({ image: text, cmdline: text })),
    volumes: fc.array(fc.record({ id: text, isRoot: fc.boolean(), source: optional(fc.record({})) })),
    interfaces: fc.array(fc.record({ guestDeviceName: text, type: fc.nat().map(unknownEnum) })),
    restartPolicy: fc.integer({ min: -5, max: 5 }).map(unknownEnum),
  });
  fc.assert(
    fc.property(record, ({ kernel, volumes, ...rest }) => {
      const sources = volumes.map(({ source, ...volume }) => (source ? { ...volume, source } : volume));
      const made = create(MicroVMSpecSchema, { ...rest, volumes: sources, ...(kernel && { kernel }) });
      const spec = fromBinary(MicroVMSpecSchema, toBinary(MicroVMSpecSchema, made));
      const draft = specToDraft(spec);
      expect(draft).toMatchObject({ id: spec.id, labels: spec.labels, vcpu: rest.vcpu });
      expect(draft.volumes).toHaveLength(volumes.length);
      for (const nic of draft.interfaces) expect(['MACVTAP', 'TAP', String(Number(nic.type))]).toContain(nic.type);
      expect('kernel' in draft).toBe(kernel !== undefined);
    }),
    { numRuns: 50 },
  );
});
