import type { FileDraft, InterfaceDraft, SpecDraft, VolumeDraft } from '../../domain/draft.ts';
import type { Violation } from '../../domain/fault.ts';
import {
  type Initrd,
  type Kernel,
  type MicroVMSpec,
  type NetworkInterface,
  NetworkInterface_IfaceTypeSchema,
  type Volume,
} from '../../gen/dropin/types/microvm_pb.ts';
import { cmdlineText } from './cmdline.ts';

/**
 * The drop-in wire's spec in the domain's terms. It judges nothing but what
 * has no place there; `validate.ts` does the rest.
 */
export function specToDraft(spec: MicroVMSpec): SpecDraft {
  const cmdline = cmdlineText(spec.kernel?.cmdline ?? {});
  return {
    id: spec.id,
    namespace: spec.namespace,
    labels: spec.labels,
    vcpu: spec.vcpu,
    memoryInMb: spec.memoryInMb,
    ...(spec.kernel && { kernel: kernelToDraft(spec.kernel, cmdline.text) }),
    ...(spec.initrd && { initrd: fileToDraft(spec.initrd) }),
    volumes: volumesOf(spec).map(({ volume, isRoot }) => volumeToDraft(volume, isRoot)),
    interfaces: spec.interfaces.map(interfaceToDraft),
    metadata: spec.metadata,
    metadataAnyhow: true,
    provider: spec.provider ?? '',
    restartPolicy: 'ON_FAILURE',
    // Without that right the guest has no port for an agent.
    providerOptions: { agent: spec.allowGuestAgent ? 'on' : 'off' },
    outputsSet: outputsSet(spec),
    wrong: [...cmdline.wrong, ...unbuilt(spec)],
  };
}

/** In the order of the guest's disks, each with its name in this API. */
export function volumesOf({ rootVolume, additionalVolumes }: MicroVMSpec): readonly {
  readonly volume: Volume;
  readonly isRoot: boolean;
  readonly name: string;
}[] {
  return [
    ...(rootVolume ? [{ volume: rootVolume, isRoot: true, name: 'root_volume' }] : []),
    ...additionalVolumes.map((volume, i) => ({ volume, isRoot: false, name: `additional_volumes[${i}]` })),
  ];
}

function kernelToDraft(kernel: Kernel, cmdline: string): NonNullable<SpecDraft['kernel']> {
  return { ...fileToDraft(kernel), cmdline, addNetworkConfig: kernel.addNetworkConfig };
}

/** A filename that is there and empty is as one that is absent: the Cluster API provider always sends it. */
function fileToDraft({ image, filename }: Kernel | Initrd): FileDraft {
  return { image, ...(filename && { filename }) };
}

function volumeToDraft(volume: Volume, isRoot: boolean): VolumeDraft {
  const image = volume.source?.containerSource;
  return {
    id: volume.id || (isRoot ? 'root' : ''),
    isRoot,
    isReadOnly: volume.isReadOnly,
    mountPoint: volume.mountPoint ?? '',
    ...(image !== undefined && { image }),
    ...(volume.partitionId !== undefined && { partitionId: volume.partitionId }),
    ...(volume.sizeInMb !== undefined && { sizeInMb: volume.sizeInMb }),
  };
}

function interfaceToDraft({ deviceId, type, guestMac, address, overrides }: NetworkInterface): InterfaceDraft {
  return {
    name: deviceId,
    type: NetworkInterface_IfaceTypeSchema.value[type]?.name ?? String(Number(type)),
    allowMetadata: false,
    publishedPorts: [],
    ...(guestMac !== undefined && { mac: guestMac }),
    ...(address && { address: address.address, nameservers: address.nameservers }),
    ...(address?.gateway !== undefined && { gateway: address.gateway }),
    ...(overrides?.bridgeName !== undefined && { bridge: overrides.bridgeName }),
  };
}

/**
 * The names of the output-only fields that the caller has set. A spec as Get
 * gives it has all of them, and is taken back as it came, or without its uid: it
 * asks for nothing by them. One alone is somebody's wish for a uid or a time of his own.
 */
function outputsSet(spec: MicroVMSpec): readonly string[] {
  const isSet = {
    created_at: spec.createdAt !== undefined,
    updated_at: spec.updatedAt !== undefined,
    deleted_at: spec.deletedAt !== undefined,
    uid: (spec.uid ?? '') !== '',
  };
  if (isSet.created_at && isSet.updated_at) return [];
  return Object.entries(isSet).flatMap(([name, set]) => (set ? [name] : []));
}

/** What this API can say and no part of the daemon honours yet. */
function unbuilt(spec: MicroVMSpec): readonly Violation[] {
  const found: Violation[] = [];
  for (const { volume, name } of volumesOf(spec))
    if ((volume.source?.virtiofsSource ?? '') !== '')
      found.push({
        field: `${name}.source.virtiofs_source`,
        description: 'not built yet: give container_source, an OCI image',
      });
  spec.interfaces.forEach(({ address }, i) => {
    if (address?.address === '')
      found.push({ field: `interfaces[${i}].address.address`, description: 'is required: leave address out for DHCP' });
  });
  return found;
}
