import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Resources } from '../../domain/admission.ts';
import type { AuditItem, AuditReport } from '../../domain/audit.ts';
import type { Capabilities } from '../../domain/capabilities.ts';
import type { Cordon } from '../../domain/cordon.ts';
import {
  AuditItemSchema,
  type AuditResponse,
  AuditResponseSchema,
  type CordonHostResponse,
  CordonHostResponseSchema,
  type ServerInfoResponse,
  ServerInfoResponseSchema,
} from '../../gen/flintlock/microvm/v1/host_pb.ts';
import type { ServerInfo } from '../../service/services.ts';
import { AnswerRoom } from '../flow/fitting.ts';
import { int32, int64 } from '../numbers.ts';

export function infoToWire(info: ServerInfo): ServerInfoResponse {
  return create(ServerInfoResponseSchema, {
    version: info.version,
    instance: info.instance,
    stateDirectory: info.stateDirectory,
    runDirectory: info.runDirectory,
    providers: info.providers.map(({ features, capabilities, ...provider }) => ({
      ...provider,
      capabilities: [...capabilities],
      features: featuresMessage(features),
    })),
    tools: info.tools.map(({ name, path, is, found, remedy }) => ({ name, path, state: is, found, remedy })),
    defaultProvider: info.defaultProvider,
    capacity: resourcesToWire(info.capacity),
    capacityNotes: [...info.capacityNotes],
    ...(info.promised && { promised: resourcesToWire(info.promised) }),
    ...(info.used && { used: resourcesToWire(info.used) }),
    limits: resourcesToWire({ vcpu: 0, memoryInMb: 0, diskInMb: 0, ...info.limits }),
    maxMicrovms: int32(info.limits.microvms ?? 0),
    managedNetwork: info.managedNetwork,
    volumeCopy: info.volumeCopy,
    reconciling: info.reconciling,
    ...(info.cordon && { cordon: cordonMessage(info.cordon) }),
    microvms: int32(info.microvms),
    demoKernel: info.demoKernel,
  });
}

const featuresMessage = ({ limits, ...features }: Capabilities) => ({
  diskFormats: [...features.diskFormats],
  interfaceTypes: [...features.interfaceTypes],
  pause: features.pause,
  rebootInPlace: features.rebootInPlace,
  powerButton: features.powerButton,
  consoleInput: features.consoleInput,
  snapshot: features.snapshot,
  channels: [...features.channels],
  mmds: features.mmds,
  balloon: features.balloon,
  maxVcpu: int32(limits.vcpu.most),
  minMemoryInMb: int32(limits.memoryInMb.least),
  maxMemoryInMb: int32(limits.memoryInMb.most),
  maxDisks: int32(limits.disks),
  maxInterfaces: int32(limits.interfaces),
  maxDevices: int32(limits.devices.most),
});

const cordonMessage = ({ since, reason }: Cordon) => ({ since: timestampFromMs(since), reason });

export const cordonToWire = (cordon: Cordon): CordonHostResponse =>
  create(CordonHostResponseSchema, { cordon: cordonMessage(cordon) });

const resourcesToWire = ({ vcpu, memoryInMb, diskInMb }: Resources) => ({
  vcpu: int32(vcpu),
  memoryInMb: int64(memoryInMb),
  diskInMb: int64(diskInMb),
});

/** Where not all fits into an answer, what is wrong is told before what is right. */
export function auditToWire({ known, leaked, missing, fixed }: AuditReport): AuditResponse {
  const room = new AnswerRoom();
  let omitted = 0;
  const told = (items: readonly AuditItem[]) => {
    const messages = items.map(({ isUnclear = false, ...item }) =>
      create(AuditItemSchema, { ...item, unclear: isUnclear }),
    );
    const fitting = room.fitting(AuditItemSchema, messages);
    omitted += items.length - fitting.length;
    return fitting;
  };
  const wrong = { leaked: told(leaked), missing: told(missing), fixed: told(fixed) };
  return create(AuditResponseSchema, { ...wrong, known: told(known), omitted: int32(omitted) });
}
