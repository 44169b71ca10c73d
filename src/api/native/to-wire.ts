import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { diskSerials } from '../../domain/disk-serials.ts';
import { GUEST_DOMAIN } from '../../domain/guest-name.ts';
import type { HealthCheck as Health, HealthQuestion } from '../../domain/health.ts';
import { CIDATA_DISK, metadataBy } from '../../domain/metadata-rules.ts';
import type { AllocatedInterface, MadeFile, MicroVmView, StateName } from '../../domain/microvm.ts';
import type { ProcessSpec } from '../../domain/process.ts';
import {
  type FileInImage,
  type InterfaceSpec,
  type PullPolicy,
  pullPolicyOf,
  type RestartPolicy,
  type VolumeSpec,
} from '../../domain/spec.ts';
import {
  type MicroVMEvent,
  MicroVMEvent_Type,
  MicroVMEventSchema,
} from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import {
  type HealthCheck,
  HealthCheckSchema,
  ImagePull_Policy,
  InitrdSchema,
  KernelSchema,
  type MicroVM,
  MicroVMSchema,
  type MicroVMSpec,
  MicroVMSpec_RestartPolicy,
  MicroVMSpecSchema,
  type MicroVMStatus,
  MicroVMStatus_MicroVMState,
  MicroVMStatusSchema,
  Mount_MountType,
  type NetworkInterface,
  NetworkInterface_IfaceType,
  NetworkInterfaceSchema,
  type NetworkInterfaceStatus,
  NetworkInterfaceStatusSchema,
  type Process,
  ProcessSchema,
  type Progress,
  ProgressSchema,
  type Volume,
  VolumeSchema,
  type VolumeStatus,
  VolumeStatusSchema,
} from '../../gen/types/microvm_pb.ts';
import type { WatchedEvent } from '../../service/services.ts';
import { int32, int64 } from '../numbers.ts';

const STATES = {
  PENDING: MicroVMStatus_MicroVMState.PENDING,
  CREATED: MicroVMStatus_MicroVMState.CREATED,
  FAILED: MicroVMStatus_MicroVMState.FAILED,
  DELETING: MicroVMStatus_MicroVMState.DELETING,
  STOPPED: MicroVMStatus_MicroVMState.STOPPED,
  PAUSED: MicroVMStatus_MicroVMState.PAUSED,
} as const satisfies Record<StateName, MicroVMStatus_MicroVMState>;

const POLICIES = {
  ON_FAILURE: MicroVMSpec_RestartPolicy.ON_FAILURE,
  ALWAYS: MicroVMSpec_RestartPolicy.ALWAYS,
  NEVER: MicroVMSpec_RestartPolicy.NEVER,
} as const satisfies Record<RestartPolicy, MicroVMSpec_RestartPolicy>;

const PULLS = {
  ALWAYS: ImagePull_Policy.ALWAYS,
  MISSING: ImagePull_Policy.MISSING,
  NEVER: ImagePull_Policy.NEVER,
} as const satisfies Record<PullPolicy, ImagePull_Policy>;

/** A record on the native wire. Its status is always there: living clients read it without a look. */
export function vmToWire(vm: MicroVmView): MicroVM {
  return create(MicroVMSchema, { version: int32(vm.version), spec: specToWire(vm), status: statusToWire(vm) });
}

/** A record that is not stored: of one that is not there yet nothing is said that only the daemon gives. */
export function plannedToWire(vm: MicroVmView): MicroVM {
  const planned = vmToWire(vm);
  if (vm.version > 0 || !planned.spec) return planned;
  const { createdAt: _, updatedAt: __, ...spec } = planned.spec;
  return create(MicroVMSchema, { ...planned, spec: create(MicroVMSpecSchema, { ...spec, generation: 0n }) });
}

export function eventToWire({ type, vm, cursor, at }: WatchedEvent): MicroVMEvent {
  return create(MicroVMEventSchema, {
    type: MicroVMEvent_Type[type],
    ...(vm && { microvm: vmToWire(vm) }),
    cursor,
    at: timestampFromMs(at),
  });
}

function specToWire({ spec, ...vm }: MicroVmView): MicroVMSpec {
  const { image, cmdline, addNetworkConfig } = spec.kernel;
  return create(MicroVMSpecSchema, {
    id: spec.id,
    namespace: spec.namespace,
    labels: { ...spec.labels },
    vcpu: int32(spec.vcpu),
    memoryInMb: int32(spec.memoryInMb),
    kernel: create(KernelSchema, { image, cmdline, addNetworkConfig, ...filenameOf(spec.kernel) }),
    ...(spec.initrd && { initrd: create(InitrdSchema, { image: spec.initrd.image, ...filenameOf(spec.initrd) }) }),
    ...(spec.process && { process: processToWire(spec.process) }),
    ...(spec.health && { healthCheck: healthToWire(spec.health) }),
    volumes: spec.volumes.map(volumeToWire),
    interfaces: spec.interfaces.map(interfaceToWire),
    metadata: { ...spec.metadata },
    createdAt: timestampFromMs(vm.createdAt),
    updatedAt: timestampFromMs(vm.updatedAt),
    ...(vm.deletedAt !== undefined && { deletedAt: timestampFromMs(vm.deletedAt) }),
    uid: vm.uid,
    provider: spec.provider,
    restartPolicy: POLICIES[spec.restartPolicy],
    providerOptions: { ...spec.providerOptions },
    generation: int64(vm.generation),
    pullPolicy: PULLS[pullPolicyOf(spec)],
  });
}

/** One empty text stands for no entrypoint, where an empty list is the image's. */
const processToWire = ({ entrypoint, args = [], environment, user, directory }: ProcessSpec): Process =>
  create(ProcessSchema, {
    entrypoint: entrypoint === undefined ? [] : entrypoint.length > 0 ? [...entrypoint] : [''],
    args: [...args],
    environment: { ...environment },
    ...{ user, directory },
  });

const healthToWire = ({ intervalMs, timeoutMs, failures, startMs, ...asked }: Health): HealthCheck =>
  create(HealthCheckSchema, {
    ...questionToWire(asked),
    interval: durationFromMs(intervalMs),
    timeout: durationFromMs(timeoutMs),
    failures: int32(failures),
    startPeriod: durationFromMs(startMs),
  });

function questionToWire(asked: HealthQuestion): MessageInitShape<typeof HealthCheckSchema> {
  if ('exec' in asked) return { exec: [...asked.exec] };
  if ('tcp' in asked) return { tcp: { port: int32(asked.tcp.port) } };
  const { port, path, headers } = asked.http;
  return { http: { port: int32(port), path, headers: { ...headers } } };
}

const filenameOf = ({ filename }: FileInImage): { filename?: string } => (filename === undefined ? {} : { filename });

function volumeToWire(volume: VolumeSpec): Volume {
  const { id, isRoot, isReadOnly, mountPoint, image, partitionId, sizeInMb } = volume;
  return create(VolumeSchema, {
    id,
    isRoot,
    isReadOnly,
    mountPoint,
    source: { containerSource: image },
    ...(partitionId !== undefined && { partitionId }),
    ...(sizeInMb !== undefined && { sizeInMb: int32(sizeInMb) }),
  });
}

function interfaceToWire(nic: InterfaceSpec): NetworkInterface {
  return create(NetworkInterfaceSchema, {
    guestDeviceName: nic.name,
    type: NetworkInterface_IfaceType[nic.type],
    allowMetadataReq: nic.allowMetadata,
    ...(nic.mac !== undefined && { guestMac: nic.mac }),
    ...(nic.address !== undefined && { address: nic.address }),
    publishedPorts: nic.publishedPorts.map((port) => ({
      hostPort: int32(port.hostPort),
      guestPort: int32(port.guestPort),
      protocol: port.protocol,
      hostIp: port.hostIp,
    })),
  });
}

function statusToWire(vm: MicroVmView): MicroVMStatus {
  const { state, made } = vm;
  const nextRetryAt = 'nextRetryAt' in state ? state.nextRetryAt : undefined;
  return create(MicroVMStatusSchema, {
    state: STATES[state.is],
    volumes: volumesToWire(vm),
    ...(made.kernel && { kernelMount: mountOf(made.kernel) }),
    ...(made.initrd && { initrdMount: mountOf(made.initrd) }),
    networkInterfaces: interfacesToWire(vm),
    retry: int32(vm.retry),
    message: messageOf(vm),
    reason: state.reason,
    conditions: vm.conditions.map(({ type, status, reason, message, lastTransitionAt }) => ({
      type,
      status,
      reason,
      message,
      lastTransitionTime: timestampFromMs(lastTransitionAt),
    })),
    provider: made.provider ?? '',
    accelerator: made.accelerator ?? '',
    kernelImageDigest: made.kernel?.digest ?? '',
    kernelFilename: made.kernel?.filename ?? '',
    initrdImageDigest: made.initrd?.digest ?? '',
    consoleTail: consoleTailOf(vm),
    ...progressOf(vm),
    ...(nextRetryAt !== undefined && { nextRetryAt: timestampFromMs(nextRetryAt) }),
    ...exitCodeOf(vm),
  });
}

/** What a user has asked for shows as soon as it is stored. */
const messageOf = ({ state, asked }: MicroVmView): string =>
  asked ? `${state.message}; a user has asked to ${asked.for} it` : state.message;

/** Of a guest that has ended, also while its next start is waited for. */
const consoleTailOf = ({ state, lastEnd }: MicroVmView): string =>
  ('consoleTail' in state ? state.consoleTail : state.is === 'PENDING' ? lastEnd?.consoleTail : undefined) ?? '';

/** While it runs that of an earlier run would be taken for one of this. */
const exitCodeOf = ({ state, lastEnd }: MicroVmView): { exitCode?: number } =>
  lastEnd?.exitStatus === undefined || state.is === 'CREATED' || state.is === 'PAUSED'
    ? {}
    : { exitCode: int32(lastEnd.exitStatus) };

/** Every file of a microVM is a path of the host: none is a device. */
const mountOf = ({ path }: Pick<MadeFile, 'path'>): { type: Mount_MountType; source: string } => ({
  type: Mount_MountType.HOSTPATH,
  source: path,
});

function volumesToWire({ made, spec }: MicroVmView): Record<string, VolumeStatus> {
  // The metadata's disk is the last.
  const ids = [...spec.volumes.map(({ id }) => id), ...(metadataBy(spec).disk ? [CIDATA_DISK] : [])];
  const serials = diskSerials(ids);
  return mapValues(made.volumes, (volume, id) =>
    create(VolumeStatusSchema, {
      mount: mountOf(volume),
      imageDigest: volume.digest,
      sizeInMb: int32(volume.sizeInMb),
      serial: serials[ids.indexOf(id)] ?? '',
    }),
  );
}

function interfacesToWire(vm: MicroVmView): Record<string, NetworkInterfaceStatus> {
  return mapValues(vm.made.interfaces, (made, name) =>
    create(NetworkInterfaceStatusSchema, {
      hostDeviceName: made.device,
      index: int32(made.index),
      macAddress: made.hostMac,
      addresses: [...(own(vm.addresses, name) ?? [])],
      guestMac: own(vm.allocation.interfaces, name)?.mac ?? '',
      hostname: hostnameOf(own(vm.allocation.interfaces, name)),
    }),
  );
}

const hostnameOf = (nic: AllocatedInterface | undefined): string =>
  nic?.hostname === undefined ? '' : `${nic.hostname}.${GUEST_DOMAIN}`;

/** In the states in which nothing is under way it would be a lie. */
function progressOf({ state, progress }: MicroVmView): { progress?: Progress } {
  if (!progress || (state.is !== 'PENDING' && state.is !== 'DELETING')) return {};
  const { step, since, doneBytes, totalBytes } = progress;
  return {
    progress: create(ProgressSchema, {
      step,
      since: timestampFromMs(since),
      doneBytes: int64(doneBytes),
      totalBytes: int64(totalBytes),
    }),
  };
}

/** A name out of a spec may be `constructor`: only what is the record's own counts. */
const own = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

function mapValues<A, B>(record: Readonly<Record<string, A>>, change: (value: A, key: string) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]));
}
