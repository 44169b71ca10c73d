import type {
  AuditRequest,
  AuditResponse,
  CordonHostRequest,
  CordonHostResponse,
  ServerInfoRequest,
  ServerInfoResponse,
  UncordonHostRequest,
} from '../../gen/flintlock/microvm/v1/host_pb.ts';
import type { Services } from '../../service/services.ts';
import type { Call } from '../served.ts';
import { auditToWire, cordonToWire, infoToWire } from './host-to-wire.ts';

/** The verbs of HostService. */
export class Hosts {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async serverInfo(_request: ServerInfoRequest): Promise<ServerInfoResponse> {
    return infoToWire(await this.#services.info());
  }

  async cordonHost({ reason }: CordonHostRequest): Promise<CordonHostResponse> {
    return cordonToWire(await this.#services.cordonHost(reason));
  }

  async uncordonHost(_request: UncordonHostRequest): Promise<object> {
    await this.#services.uncordonHost();
    return {};
  }

  async audit({ fix }: AuditRequest, { signal }: Call): Promise<AuditResponse> {
    return auditToWire(await this.#services.audit({ fix }, signal));
  }
}
