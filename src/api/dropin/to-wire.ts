import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { MicroVmView, StateName } from '../../domain/microvm.ts';
import type { FileInImage, InterfaceSpec, VolumeSpec } from '../../domain/spec.ts';
import {
  InitrdSchema,
  KernelSchema,
  type MicroVM,
  MicroVMSchema,
  type MicroVMSpec,
  MicroVMSpecSchema,
  type MicroVMStatus,
  MicroVMStatus_MicroVMState,
  MicroVMStatusSchema,
  Mount_MountType,
  type NetworkInterface,
  NetworkInterface_IfaceType,
  NetworkInterfaceSchema,
  NetworkInterfaceStatusSchema,
  type Volume,
  VolumeSchema,
  VolumeStatusSchema,
} from '../../gen/dropin/types/microvm_pb.ts';
import { int32 } from '../numbers.ts';
import { cmdlineMap } from './cmdline.ts';

/** Today's clients take any number above DELETING for an error. */
const STATES = {
  PENDING: MicroVMStatus_MicroVMState.PENDING,
  CREATED: MicroVMStatus_MicroVMState.CREATED,
  PAUSED: MicroVMStatus_MicroVMState.CREATED,
  FAILED: MicroVMStatus_MicroVMState.FAILED,
  STOPPED: MicroVMStatus_MicroVMState.FAILED,
  DELETING: MicroVMStatus_MicroVMState.DELETING,
} as const satisfies Record<StateName, MicroVMStatus_MicroVMState>;

/** A record on the drop-in wire. Spec, uid and status are always there: clients read them without a look. */
export function vmToWire(vm: MicroVmView): MicroVM {
  return create(MicroVMSchema, { version: int32(vm.version), spec: specToWire(vm), status: statusToWire(vm) });
}

/** What was given; what was left out stays out. */
function specToWire({ spec, ...vm }: MicroVmView): MicroVMSpec {
  const { image, cmdline, addNetworkConfig } = spec.kernel;
  const root = spec.volumes.find((volume) => volume.isRoot);
  return create(MicroVMSpecSchema, {
    id: spec.id,
    namespace: spec.namespace,
    labels: { ...spec.labels },
    vcpu: int32(spec.vcpu),
    memoryInMb: int32(spec.memoryInMb),
    allowGuestAgent: spec.providerOptions.agent === 'on',
    kernel: create(KernelSchema, {
      image,
      cmdline: cmdlineMap(cmdline),
      addNetworkConfig,
      ...filenameOf(spec.kernel),
    }),
    ...(spec.initrd && { initrd: create(InitrdSchema, { image: spec.initrd.image, ...filenameOf(spec.initrd) }) }),
    ...(root && { rootVolume: volumeToWire(root) }),
    additionalVolumes: spec.volumes.filter((volume) => volume !== root).map(volumeToWire),
    interfaces: spec.interfaces.map(interfaceToWire),
    metadata: { ...spec.metadata },
    createdAt: timestampFromMs(vm.createdAt),
    updatedAt: timestampFromMs(vm.updatedAt),
    ...(vm.deletedAt !== undefined && { deletedAt: timestampFromMs(vm.deletedAt) }),
    uid: vm.uid,
    ...(spec.provider !== '' && { provider: spec.provider }),
  });
}

const filenameOf = ({ filename }: FileInImage): { filename?: string } => (filename === undefined ? {} : { filename });

function volumeToWire({ id, isReadOnly, mountPoint, image, partitionId, sizeInMb }: VolumeSpec): Volume {
  return create(VolumeSchema, {
    id,
    isReadOnly,
    ...(mountPoint !== '' && { mountPoint }),
    source: { containerSource: image },
    ...(partitionId !== undefined && { partitionId }),
    ...(sizeInMb !== undefined && { sizeInMb: int32(sizeInMb) }),
  });
}

function interfaceToWire({
  name,
  type,
  mac,
  address,
  gateway,
  nameservers = [],
  bridge,
}: InterfaceSpec): NetworkInterface {
  return create(NetworkInterfaceSchema, {
    deviceId: name,
    type: NetworkInterface_IfaceType[type],
    ...(mac !== undefined && { guestMac: mac }),
    ...(address !== undefined && {
      address: { address, nameservers: [...nameservers], ...(gateway !== undefined && { gateway }) },
    }),
    ...(bridge !== undefined && { overrides: { bridgeName: bridge } }),
  });
}

function statusToWire({ state, made, retry, agentSocket }: MicroVmView): MicroVMStatus {
  return create(MicroVMStatusSchema, {
    state: STATES[state.is],
    volumes: mapValues(made.volumes, (volume) => create(VolumeStatusSchema, { mount: mountOf(volume) })),
    ...(made.kernel && { kernelMount: mountOf(made.kernel) }),
    ...(made.initrd && { initrdMount: mountOf(made.initrd) }),
    networkInterfaces: mapValues(made.interfaces, ({ device, index, hostMac }) =>
      create(NetworkInterfaceStatusSchema, { hostDeviceName: device, index: int32(index), macAddress: hostMac }),
    ),
    retry: int32(retry),
    vsockPath: agentSocket ?? '',
    message: state.message,
    reason: state.reason,
  });
}

/** Every file of a microVM is a path of the host: none is a device. */
const mountOf = ({ path }: { readonly path: string }): { type: Mount_MountType; source: string } => ({
  type: Mount_MountType.HOSTPATH,
  source: path,
});

function mapValues<A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
