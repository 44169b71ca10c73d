import { create } from '@bufbuild/protobuf';
import type { Resources } from '../../domain/admission.ts';
import {
  type AuditResponse,
  AuditResponseSchema,
  type ServerInfoResponse,
  ServerInfoResponseSchema,
} from '../../gen/flintlock/microvm/v1/host_pb.ts';
import type { AuditReport, ServerInfo } from '../../service/services.ts';
import { int32, int64 } from '../numbers.ts';

export function infoToWire(info: ServerInfo): ServerInfoResponse {
  return create(ServerInfoResponseSchema, {
    version: info.version,
    instance: info.instance,
    providers: info.providers.map((provider) => ({ ...provider, capabilities: [...provider.capabilities] })),
    defaultProvider: info.defaultProvider,
    capacity: resourcesToWire(info.capacity),
    ...(info.promised && { promised: resourcesToWire(info.promised) }),
    ...(info.used && { used: resourcesToWire(info.used) }),
    limits: resourcesToWire({ vcpu: 0, memoryInMb: 0, diskInMb: 0, ...info.limits }),
    maxMicrovms: int32(info.limits.microvms ?? 0),
    managedNetwork: info.managedNetwork,
    volumeCopy: info.volumeCopy,
    reconciling: info.reconciling,
    microvms: int32(info.microvms),
    demoKernel: info.demoKernel,
  });
}

const resourcesToWire = ({ vcpu, memoryInMb, diskInMb }: Resources) => ({
  vcpu: int32(vcpu),
  memoryInMb: int64(memoryInMb),
  diskInMb: int64(diskInMb),
});

export function auditToWire({ known, leaked, missing, fixed }: AuditReport): AuditResponse {
  return create(AuditResponseSchema, {
    known: [...known],
    leaked: leaked.map(({ isUnclear = false, ...item }) => ({ ...item, unclear: isUnclear })),
    missing: [...missing],
    fixed: [...fixed],
  });
}
