import { toProcess } from './check-process.ts';
import { toVolume } from './check-volumes.ts';
import type { FileDraft, InterfaceDraft, SpecDraft } from './draft.ts';
import { toHealth } from './health.ts';
import { metadataRef } from './metadata-rules.ts';
import {
  FIRST_GENERATION,
  type FileInImage,
  type InterfaceSpec,
  type PublishedPort,
  type PullPolicy,
  type RestartPolicy,
  type Spec,
} from './spec.ts';

export const DEFAULT_VCPU = 2;
export const DEFAULT_MEMORY_IN_MB = 1024;
export const DEFAULT_NAMESPACE = 'default';

/** A draft with which nothing is wrong. */
export interface CheckedDraft extends SpecDraft {
  readonly kernel: NonNullable<SpecDraft['kernel']>;
  readonly restartPolicy: RestartPolicy;
  readonly pullPolicy?: PullPolicy;
}

/**
 * The spec of a draft: what was left out has its default.
 * @param macs - of its interfaces, in one form, by index; undefined where none was given
 */
export function fillIn(draft: CheckedDraft, macs: readonly (string | undefined)[]): Spec {
  const volumes = draft.volumes.map(toVolume);
  const { cmdline, addNetworkConfig } = draft.kernel;
  const named = metadataRef(draft.metadata, FIRST_GENERATION);
  return {
    id: draft.id,
    namespace: draft.namespace,
    labels: draft.labels,
    vcpu: draft.vcpu || DEFAULT_VCPU,
    memoryInMb: draft.memoryInMb || DEFAULT_MEMORY_IN_MB,
    kernel: { ...toFile(draft.kernel), cmdline, addNetworkConfig },
    ...(draft.initrd && { initrd: toFile(draft.initrd) }),
    ...(draft.process && { process: toProcess(draft.process) }),
    ...(draft.health && { health: toHealth(draft.health) }),
    volumes: [...volumes.filter((v) => v.isRoot), ...volumes.filter((v) => !v.isRoot)],
    interfaces: draft.interfaces.map((nic, i) => toInterface(nic, macs[i])),
    ...(named && { metadataRef: named }),
    ...(draft.metadataAnyhow && { metadataAnyhow: true as const }),
    provider: draft.provider,
    restartPolicy: draft.restartPolicy,
    ...(draft.pullPolicy !== undefined && { pullPolicy: draft.pullPolicy }),
    providerOptions: draft.providerOptions,
  };
}

const toFile = ({ image, filename }: FileDraft): FileInImage => ({ image, ...(filename && { filename }) });

const toInterface = (draft: InterfaceDraft, mac: string | undefined): InterfaceSpec => ({
  name: draft.name,
  type: draft.type === 'MACVTAP' ? 'MACVTAP' : 'TAP',
  allowMetadata: draft.allowMetadata,
  publishedPorts: draft.publishedPorts.map(toPublished),
  ...(mac !== undefined && { mac }),
  ...(draft.address && { address: draft.address }),
  ...(draft.gateway && { gateway: draft.gateway }),
  ...(draft.nameservers && draft.nameservers.length > 0 && { nameservers: draft.nameservers }),
  ...(draft.bridge && { bridge: draft.bridge }),
});

/** As it is published, whatever is wrong with it. */
export const toPublished = (draft: InterfaceDraft['publishedPorts'][number]): PublishedPort => ({
  hostPort: draft.hostPort,
  guestPort: draft.guestPort,
  protocol: draft.protocol === 'udp' ? 'udp' : 'tcp',
  hostIp: draft.hostIp === '0.0.0.0' ? '' : draft.hostIp,
});
