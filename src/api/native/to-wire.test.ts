import { create, fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SAMPLE_UID, sampleInfo, sampleSpecView, sampleVm } from '../../../test/support/fake-services.ts';
import type { State, Uid } from '../../domain/microvm.ts';
import type { SpecWithMetadata } from '../../domain/spec.ts';
import { ServerInfoResponseSchema } from '../../gen/flintlock/microvm/v1/host_pb.ts';
import {
  ImagePull_Policy,
  MicroVMSchema,
  MicroVMSpecSchema,
  MicroVMStatus_MicroVMState,
  Mount_MountType,
} from '../../gen/types/microvm_pb.ts';
import { int32, int64 } from '../numbers.ts';
import { specToDraft } from './from-wire.ts';
import { infoToWire } from './host-to-wire.ts';
import { eventToWire, vmToWire } from './to-wire.ts';

test('a running microVM', () => {
  const { version, spec, status } = vmToWire(sampleVm());
  expect(version).toBe(3);
  expect(spec).toMatchObject({
    id: 'web',
    namespace: 'default',
    uid: SAMPLE_UID,
    generation: 1n,
    labels: { app: 'web' },
  });
  expect(spec?.kernel).toMatchObject({ image: 'oci:/images/kernel:1', filename: 'boot/vmlinuz', cmdline: 'quiet' });
  expect(spec?.initrd).not.toHaveProperty('filename');
  expect(status).toMatchObject({
    state: MicroVMStatus_MicroVMState.CREATED,
    reason: 'Running',
    provider: 'qemu',
    accelerator: 'tcg',
    kernelImageDigest: 'sha256:aa',
    kernelFilename: 'boot/vmlinuz',
    initrdImageDigest: 'sha256:aa',
    kernelMount: { type: Mount_MountType.HOSTPATH, source: '/state/images/aa/boot/vmlinuz' },
    initrdMount: { type: Mount_MountType.HOSTPATH, source: '/state/images/aa/initrd' },
    volumes: { root: { imageDigest: 'sha256:bb', sizeInMb: 64, mount: { source: '/state/vm/A/root.qcow2' } } },
    networkInterfaces: {
      eth0: {
        hostDeviceName: 'flabcd0',
        index: 7,
        macAddress: '02:00:00:00:00:07',
        guestMac: '52:54:00:00:00:01',
        addresses: ['10.77.0.2'],
      },
    },
  });
  expect(status?.conditions[0]).toMatchObject({ type: 'Running', status: 'True' });
});

test('the status is there before anything is made', () => {
  const state: State = { is: 'PENDING', reason: 'Preparing', message: 'Accepted', nextRetryAt: 5_000 };
  const progress = { step: 'image', since: 1_000, doneBytes: 10, totalBytes: 2 ** 40 };
  const made = { volumes: {}, interfaces: {} };
  const { status } = vmToWire(sampleVm({ state, progress, made, conditions: [] }));
  expect(status).toMatchObject({ state: 0, reason: 'Preparing', progress: { step: 'image', totalBytes: 2n ** 40n } });
  expect(status?.nextRetryAt && timestampMs(status.nextRetryAt)).toBe(5_000);
  expect(status?.kernelMount).toBeUndefined();
});

test('progress is told only while something is under way; the console of the dead', () => {
  const progress = { step: 'image', since: 1_000, doneBytes: 0, totalBytes: 0 };
  const failed: State = { is: 'FAILED', reason: 'GuestPanic', message: 'It panicked', consoleTail: 'Oops' };
  const { status } = vmToWire(sampleVm({ state: failed, progress, deletedAt: 7_000 }));
  expect(status?.progress).toBeUndefined();
  expect(status).toMatchObject({ state: MicroVMStatus_MicroVMState.FAILED, consoleTail: 'Oops' });
});

test('an interface named like a property of every object takes nothing from it', () => {
  const nic = { device: 'fl0', index: 1, hostMac: 'm' };
  const { status } = vmToWire(
    sampleVm({
      made: { volumes: {}, interfaces: { constructor: nic } },
      allocation: { vmmUser: 1, interfaces: {} },
      addresses: {},
    }),
  );
  expect(status?.networkInterfaces.constructor).toMatchObject({ guestMac: '', addresses: [] });
});

const text = fc.string();
const specs: fc.Arbitrary<SpecWithMetadata> = fc
  .record({
    id: text,
    namespace: text,
    labels: fc.dictionary(text, text),
    vcpu: fc.integer({ min: 1, max: 64 }),
    memoryInMb: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    restartPolicy: fc.constantFrom('ON_FAILURE', 'ALWAYS', 'NEVER'),
    pullPolicy: fc.constantFrom('ALWAYS', 'MISSING', 'NEVER'),
    volumes: fc.array(
      fc.record({ id: text, isRoot: fc.boolean(), isReadOnly: fc.boolean(), mountPoint: text, image: text }),
    ),
    interfaces: fc.array(
      fc.record({
        name: text,
        type: fc.constantFrom('TAP', 'MACVTAP'),
        allowMetadata: fc.boolean(),
        publishedPorts: fc.array(
          fc.record({
            hostPort: fc.nat(65_535),
            guestPort: fc.nat(65_535),
            protocol: fc.constantFrom('tcp', 'udp'),
            hostIp: text,
          }),
        ),
      }),
    ),
  })
  .map((some) => ({ ...sampleSpecView, ...some }) as SpecWithMetadata);

test('what the daemon answers is what it was told: wire and back', () => {
  fc.assert(
    fc.property(specs, (spec) => {
      const bytes = toBinary(MicroVMSchema, vmToWire(sampleVm({ spec })));
      const back = fromBinary(MicroVMSchema, bytes).spec;
      const { outputsSet, ...draft } = specToDraft(back ?? create(MicroVMSpecSchema));
      expect(draft).toEqual(spec);
      expect(outputsSet).toEqual(['created_at', 'updated_at', 'uid', 'generation']);
    }),
    { numRuns: 50 },
  );
});

test('a record of before there were pull policies is shown with the one that was in force', () => {
  expect(sampleSpecView.pullPolicy).toBeUndefined();
  expect(vmToWire(sampleVm()).spec?.pullPolicy).toBe(ImagePull_Policy.ALWAYS);
});

test('no number breaks a record: it is written in binary and JSON', () => {
  const numbers = fc.record({ version: fc.double(), generation: fc.double(), retry: fc.double() });
  fc.assert(
    fc.property(numbers, (some) => {
      const wire = vmToWire(sampleVm({ ...some, uid: 'u' as Uid }));
      toBinary(MicroVMSchema, wire);
      toJson(MicroVMSchema, wire);
    }),
    { numRuns: 50 },
  );
  expect([int32(1e12), int32(-1e12), int32(Number.NaN), int32(1.9)]).toEqual([2 ** 31 - 1, -(2 ** 31), 0, 1]);
  expect([int64(1e300), int64(Number.NaN), int64(-1.5)]).toEqual([BigInt(Number.MAX_SAFE_INTEGER), 0n, -1n]);
});

test('events and server info', () => {
  expect(eventToWire({ type: 'BOOKMARK', cursor: 'e.1', at: 0 })).toMatchObject({ type: 4, cursor: 'e.1' });
  const info = infoToWire({ ...sampleInfo, used: { vcpu: 1.5, memoryInMb: 10.7, diskInMb: 0 } });
  expect(info.used).toMatchObject({ vcpu: 1, memoryInMb: 10n });
  expect(toJson(ServerInfoResponseSchema, info)).toMatchObject({
    providers: [
      {
        ...{ name: 'qemu', available: true, capabilities: ['initrd'] },
        features: {
          ...{ diskFormats: ['qcow2', 'raw'], interfaceTypes: ['TAP', 'MACVTAP'], channels: ['console', 'agent'] },
          ...{ pause: true, rebootInPlace: true, powerButton: true, consoleInput: true },
          ...{ maxVcpu: 64, minMemoryInMb: 32, maxMemoryInMb: 4_096, maxDisks: 16, maxInterfaces: 8, maxDevices: 20 },
        },
      },
    ],
  });
});
