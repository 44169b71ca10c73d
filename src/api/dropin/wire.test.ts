import { create, fromBinary, fromJson, type MessageInitShape, toBinary, toJson } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SAMPLE_UID, sampleVm } from '../../../test/support/fake-services.ts';
import type { SpecDraft } from '../../domain/draft.ts';
import type { State, StateName } from '../../domain/microvm.ts';
import type { SpecWithMetadata } from '../../domain/spec.ts';
import { validate } from '../../domain/validate.ts';
import {
  type MicroVM,
  MicroVMSchema,
  type MicroVMSpec,
  MicroVMSpecSchema,
  MicroVMStatus_MicroVMState,
} from '../../gen/dropin/types/microvm_pb.ts';
import { specToDraft } from './from-wire.ts';
import { vmToWire } from './to-wire.ts';

const overWire = (vm: MicroVM): MicroVM => fromBinary(MicroVMSchema, toBinary(MicroVMSchema, vm));
/** What the daemon holds of a spec that came. */
const held = (draft: SpecDraft, id = 'made'): SpecWithMetadata => ({
  ...validate(draft, id),
  metadata: draft.metadata,
});

const specOf = (spec: SpecWithMetadata): MicroVMSpec => {
  const { spec: out } = overWire(vmToWire(sampleVm({ spec })));
  if (!out) throw new Error('the answer has no spec');
  return out;
};

const name = fc.stringMatching(/^[a-z][a-z0-9]{1,6}$/);
const path = name.map((text) => `/${text}`);
const image = name.map((text) => `ghcr.io/x/${text}:1`);
const word = fc.stringMatching(/^[a-z0-9/.=,-]{1,9}$/);
const octet = fc.integer({ min: 2, max: 250 });
const mac = octet.map((n) => `52:54:00:00:00:${n.toString(16).padStart(2, '0')}`);
/** A field that is there or is not. */
const maybe = <K extends string, T>(key: K, one: fc.Arbitrary<T>) =>
  fc.option(one, { nil: undefined }).map((value) => (value === undefined ? {} : { [key]: value }) as { [P in K]?: T });

const volumeWith = (mountPoint: fc.Arbitrary<string>) =>
  fc
    .tuple(
      fc.boolean(),
      image,
      maybe('mountPoint', mountPoint),
      maybe('partitionId', fc.uuid({ version: 4 })),
      maybe('sizeInMb', fc.integer({ min: 1, max: 9999 })),
    )
    .map(([isReadOnly, containerSource, ...rest]) =>
      Object.assign({ isReadOnly, source: { containerSource } }, ...rest),
    );

const addressOf = (n: number) =>
  fc
    .tuple(
      maybe('gateway', fc.constantFrom('192.168.100.1', '192.168.100.1/24')),
      fc.array(fc.ipV4(), { maxLength: 3 }),
    )
    .map(([gateway, nameservers]) => ({ address: `192.168.100.${n}/24`, nameservers, ...gateway }));

const interfacesOf = (count: number) =>
  fc.tuple(
    ...Array.from({ length: count }, (_, i) =>
      fc
        .tuple(
          maybe(
            'guestMac',
            mac.map((text) => text.replace('52:54:00:00:00', `52:54:00:00:0${i}`)),
          ),
          maybe('address', addressOf(10 + i)),
          maybe(
            'overrides',
            name.map((bridgeName) => ({ bridgeName })),
          ),
        )
        .map((parts) => Object.assign({ deviceId: `eth${i}`, type: 1 }, ...parts)),
    ),
  );

/** All that a client of this API can say and is taken. */
const saidSpecs = fc
  .tuple(
    fc.record({
      id: name,
      namespace: name,
      labels: fc.dictionary(name, name),
      vcpu: fc.integer({ min: 1, max: 64 }),
      memoryInMb: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      metadata: fc.dictionary(name, fc.string({ maxLength: 20 })),
    }),
    fc
      .tuple(
        image,
        fc.dictionary(name, fc.oneof(word, fc.constant(''), fc.constant('a b'))),
        maybe('filename', name),
        fc.boolean(),
      )
      .map(([kernel, cmdline, filename, addNetworkConfig]) => ({
        image: kernel,
        cmdline,
        addNetworkConfig,
        ...filename,
      })),
    fc.tuple(image, maybe('filename', name)).map(([initrd, filename]) => ({ image: initrd, ...filename })),
    fc.boolean(),
    volumeWith(fc.constant('/')),
    fc.uniqueArray(volumeWith(path), {
      maxLength: 3,
      selector: (volume) => volume.mountPoint ?? volume.source.containerSource,
    }),
    fc.integer({ min: 0, max: 3 }).chain(interfacesOf),
    maybe('provider', name),
  )
  .map(([plain, kernel, initrd, hasInitrd, root, others, interfaces, provider]) =>
    create(MicroVMSpecSchema, {
      ...plain,
      ...provider,
      kernel,
      ...(hasInitrd && { initrd }),
      rootVolume: { id: 'root', ...root },
      additionalVolumes: others.map((volume, i) => ({ id: `v${i}`, ...volume })),
      interfaces,
    } as MessageInitShape<typeof MicroVMSpecSchema>),
  );

test('what a client said is what it reads: in, stored, and out', () => {
  fc.assert(
    fc.property(saidSpecs, (said) => {
      const read = specOf(held(specToDraft(said)));
      const { createdAt, updatedAt, uid, ...rest } = toJson(MicroVMSpecSchema, read) as Record<string, unknown>;
      expect(rest).toEqual(toJson(MicroVMSpecSchema, said));
      expect([createdAt, updatedAt, uid]).toEqual([expect.any(String), expect.any(String), SAMPLE_UID]);
    }),
    { numRuns: 60 },
  );
});

test('what the daemon holds of such a spec is what it would make of its own answer', () => {
  fc.assert(
    fc.property(saidSpecs, (said) => {
      const spec = held(specToDraft(said));
      // As it came, with what only the daemon sets.
      const told = specOf(spec);
      expect(held(specToDraft(told), 'other')).toEqual(spec);
      // Or to make another one of it.
      expect(held(specToDraft({ ...told, uid: '' }), 'other')).toEqual(spec);
    }),
    { numRuns: 60 },
  );
});

test('what is there and empty is as left out', () => {
  const source = { containerSource: 'oci:/images:root', virtiofsSource: '' };
  const draft = specToDraft(create(MicroVMSpecSchema, { rootVolume: { id: '', source } }));
  expect(draft).toMatchObject({ volumes: [{ id: 'root', image: 'oci:/images:root' }], wrong: [] });
});

test('any bytes that are a spec make a draft, and any record makes bytes and JSON', () => {
  const text = fc.string({ unit: 'grapheme' });
  const any = fc.record({
    id: text,
    labels: fc.dictionary(text, text),
    vcpu: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    kernel: fc.record({ image: text, cmdline: fc.dictionary(text, text) }),
    additionalVolumes: fc.array(fc.record({ id: text, mountPoint: text })),
    interfaces: fc.array(fc.record({ deviceId: text, address: fc.record({ address: text, gateway: text }) })),
  });
  fc.assert(
    fc.property(any, (some) => {
      const spec = fromBinary(MicroVMSpecSchema, toBinary(MicroVMSpecSchema, create(MicroVMSpecSchema, some)));
      expect(specToDraft(spec)).toMatchObject({ id: spec.id, vcpu: some.vcpu });
    }),
  );
  fc.assert(
    fc.property(fc.record({ version: fc.double(), retry: fc.double() }), (numbers) => {
      const vm = vmToWire(sampleVm(numbers));
      overWire(vm);
      toJson(MicroVMSchema, vm);
    }),
  );
});

test('optional fields that were left out stay out, and empty ones are as left out', () => {
  const said = create(MicroVMSpecSchema, {
    kernel: { image: 'k', filename: '' },
    initrd: { image: 'i', filename: '' },
    rootVolume: { id: 'root', source: { containerSource: 'r' }, mountPoint: '', sizeInMb: 0 },
    interfaces: [{ deviceId: 'eth0', type: 1, guestMac: '', overrides: {} }],
    provider: '',
  });
  const read = toJson(MicroVMSpecSchema, specOf(held(specToDraft(said))));
  expect(read).toMatchObject({
    id: 'made',
    namespace: 'default',
    vcpu: 2,
    memoryInMb: 1024,
    kernel: { image: 'k' },
    initrd: { image: 'i' },
    rootVolume: { id: 'root', source: { containerSource: 'r' } },
    interfaces: [{ deviceId: 'eth0', type: 'TAP' }],
  });
  for (const key of ['filename', 'mountPoint', 'sizeInMb', 'guestMac', 'overrides', 'provider', 'address', 'gateway'])
    expect(JSON.stringify(read)).not.toContain(`"${key}"`);
});

test.each<[StateName, keyof typeof MicroVMStatus_MicroVMState]>([
  ['PENDING', 'PENDING'],
  ['CREATED', 'CREATED'],
  ['PAUSED', 'CREATED'],
  ['FAILED', 'FAILED'],
  ['STOPPED', 'FAILED'],
  ['DELETING', 'DELETING'],
])('%s is told as %s, with the reason', (is, shown) => {
  const state = { is, reason: 'GuestShutdown', message: 'It powered itself off', consoleTail: '' } as State;
  const { status } = vmToWire(sampleVm({ state }));
  expect(status).toMatchObject({ reason: 'GuestShutdown', message: 'It powered itself off', vsockPath: '' });
  expect(status?.state).toBe(MicroVMStatus_MicroVMState[shown]);
});

test('the status says where all lies', () => {
  const { status, version, spec } = vmToWire(sampleVm({ deletedAt: 7_000 }));
  expect(version).toBe(3);
  expect(spec?.deletedAt).toEqual(timestampFromMs(7_000));
  expect(status).toMatchObject({
    kernelMount: { type: 1, source: '/state/images/aa/boot/vmlinuz' },
    initrdMount: { type: 1, source: '/state/images/aa/initrd' },
    volumes: { root: { mount: { type: 1, source: '/state/vm/A/root.qcow2' } } },
    networkInterfaces: { eth0: { hostDeviceName: 'flabcd0', index: 7, macAddress: '02:00:00:00:00:07' } },
  });
});

test('JSON is read in snake and camel case, enums by name and number', () => {
  const snake = { root_volume: { id: 'root', is_read_only: true }, interfaces: [{ device_id: 'e', type: 1 }] };
  const camel = { rootVolume: { id: 'root', isReadOnly: true }, interfaces: [{ deviceId: 'e', type: 'TAP' }] };
  expect(fromJson(MicroVMSpecSchema, snake)).toEqual(fromJson(MicroVMSpecSchema, camel));
});
