import type { DescEnum } from '@bufbuild/protobuf';
import { durationMs } from '@bufbuild/protobuf/wkt';
import type {
  FileDraft,
  HealthDraft,
  InterfaceDraft,
  ProcessDraft,
  SpecDraft,
  VolumeDraft,
} from '../../domain/draft.ts';
import {
  type HealthCheck,
  ImagePull_Policy,
  ImagePull_PolicySchema,
  type Initrd,
  type Kernel,
  type MicroVMSpec,
  MicroVMSpec_RestartPolicySchema,
  type NetworkInterface,
  NetworkInterface_IfaceTypeSchema,
  type Process,
  type Volume,
} from '../../gen/types/microvm_pb.ts';

/** The native wire's spec in the domain's terms. It judges nothing: `validate.ts` does. */
export function specToDraft(spec: MicroVMSpec): SpecDraft {
  return {
    id: spec.id,
    namespace: spec.namespace,
    labels: spec.labels,
    vcpu: spec.vcpu,
    memoryInMb: spec.memoryInMb,
    ...(spec.kernel && { kernel: kernelToDraft(spec.kernel) }),
    ...(spec.initrd && { initrd: fileToDraft(spec.initrd) }),
    ...(spec.process && { process: processToDraft(spec.process) }),
    ...(spec.healthCheck && { health: healthToDraft(spec.healthCheck) }),
    volumes: spec.volumes.map(volumeToDraft),
    interfaces: spec.interfaces.map(interfaceToDraft),
    metadata: spec.metadata,
    provider: spec.provider,
    restartPolicy: enumName(MicroVMSpec_RestartPolicySchema, spec.restartPolicy),
    ...(spec.pullPolicy !== ImagePull_Policy.DEFAULT && {
      pullPolicy: enumName(ImagePull_PolicySchema, spec.pullPolicy),
    }),
    providerOptions: spec.providerOptions,
    outputsSet: outputsSet(spec),
  };
}

function kernelToDraft(kernel: Kernel): NonNullable<SpecDraft['kernel']> {
  return { ...fileToDraft(kernel), cmdline: kernel.cmdline, addNetworkConfig: kernel.addNetworkConfig };
}

const processToDraft = ({ entrypoint, args, environment, user, directory }: Process): ProcessDraft => ({
  ...{ entrypoint, args, environment, user, directory },
});

const healthToDraft = ({ exec, http, tcp, interval, timeout, failures, startPeriod }: HealthCheck): HealthDraft => ({
  ...{ exec, failures },
  ...(http && { http: { port: http.port, path: http.path, headers: http.headers } }),
  ...(tcp && { tcp: { port: tcp.port } }),
  ...(interval && { intervalMs: durationMs(interval) }),
  ...(timeout && { timeoutMs: durationMs(timeout) }),
  ...(startPeriod && { startMs: durationMs(startPeriod) }),
});

/** A filename that is there and empty is as one that is absent: living clients send it so. */
function fileToDraft({ image, filename }: Kernel | Initrd): FileDraft {
  return { image, ...(filename && { filename }) };
}

function volumeToDraft(volume: Volume): VolumeDraft {
  const image = volume.source?.containerSource;
  return {
    id: volume.id,
    isRoot: volume.isRoot,
    isReadOnly: volume.isReadOnly,
    mountPoint: volume.mountPoint,
    ...(image !== undefined && { image }),
    ...(volume.partitionId !== undefined && { partitionId: volume.partitionId }),
    ...(volume.sizeInMb !== undefined && { sizeInMb: volume.sizeInMb }),
  };
}

function interfaceToDraft(nic: NetworkInterface): InterfaceDraft {
  return {
    name: nic.guestDeviceName,
    type: enumName(NetworkInterface_IfaceTypeSchema, nic.type),
    allowMetadata: nic.allowMetadataReq,
    ...(nic.guestMac !== undefined && { mac: nic.guestMac }),
    ...(nic.address !== undefined && { address: nic.address }),
    publishedPorts: nic.publishedPorts.map(({ hostPort, guestPort, protocol, hostIp }) => ({
      hostPort,
      guestPort,
      protocol,
      hostIp,
    })),
  };
}

/** The names of the output-only fields that the caller has set, as the API names them. */
function outputsSet(spec: MicroVMSpec): readonly string[] {
  const isSet = {
    created_at: spec.createdAt !== undefined,
    updated_at: spec.updatedAt !== undefined,
    deleted_at: spec.deletedAt !== undefined,
    uid: spec.uid !== '',
    generation: spec.generation !== 0n,
  };
  return Object.entries(isSet).flatMap(([name, set]) => (set ? [name] : []));
}

/** The name of an enum's value; the number as text where it has none. */
function enumName(desc: DescEnum, value: number): string {
  return desc.value[value]?.name ?? String(value);
}
