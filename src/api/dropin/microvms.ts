import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, type Empty } from '@bufbuild/protobuf/wkt';
import { Fault } from '../../domain/fault.ts';
import type {
  CreateMicroVMRequest,
  DeleteMicroVMRequest,
  GetMicroVMRequest,
  ListMicroVMsRequest,
  ServerInfoResponseSchema,
} from '../../gen/dropin/services/microvms_pb.ts';
import type { MicroVM } from '../../gen/dropin/types/microvm_pb.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Services, Target } from '../../service/services.ts';
import { listed } from '../flow/listed.ts';
import type { Call } from '../served.ts';
import { inOurNames, notFound, noUid, refuseNative } from './faults.ts';
import { specToDraft } from './from-wire.ts';
import { everyOne, filterOf, whole } from './lists.ts';
import { vmToWire } from './to-wire.ts';

/** Of the daemon in Go whose API this is: battery takes no older one. */
const SERVED_VERSION = 'v0.15.2';

interface Answer {
  readonly microvm: MicroVM;
}

/** The verbs of the service that today's clients call, for gRPC and HTTP alike. */
export class DropinMicroVms {
  readonly #services: Services;
  readonly #clock: Pick<Clock, 'elapsed'>;
  readonly #since: number;

  constructor(services: Services, clock: Pick<Clock, 'elapsed'>) {
    this.#services = services;
    this.#clock = clock;
    this.#since = clock.elapsed();
  }

  /** Several microVMs may have one namespace and id: clients know them by uid. */
  async createMicroVM({ microvm }: CreateMicroVMRequest): Promise<Answer> {
    if (!microvm) throw Fault.invalid([{ field: 'microvm', description: 'must hold the spec to create' }]);
    refuseNative(microvm);
    try {
      return { microvm: vmToWire(await this.#services.create(specToDraft(microvm), { uniqueId: false })) };
    } catch (error) {
      throw inOurNames(error, microvm);
    }
  }

  async getMicroVM({ uid }: GetMicroVMRequest): Promise<Answer> {
    return named('get', uid, async (target) => {
      return { microvm: vmToWire(await this.#services.get(target, { showDeleted: false })) };
    });
  }

  async deleteMicroVM({ uid }: DeleteMicroVMRequest): Promise<object> {
    return named('delete', uid, async (target) => {
      await this.#services.delete(target);
      return {};
    });
  }

  async serverInfo(_request: Empty): Promise<MessageInitShape<typeof ServerInfoResponseSchema>> {
    const { version } = await this.#services.info();
    return {
      version: { version: `${SERVED_VERSION}+flintlock.${version}` },
      uptime: durationFromMs(Math.round(this.#clock.elapsed() - this.#since)),
      exec: { enabled: true },
      sshProxy: { enabled: true },
    };
  }

  async listMicroVMs(request: ListMicroVMsRequest): Promise<{ microvm: MicroVM[] }> {
    return { microvm: whole(await this.#services.list(everyOne(request))).map(vmToWire) };
  }

  /** Reads page by page, so that a long list takes no more memory than a short one. */
  async *listMicroVMsStream(request: ListMicroVMsRequest, call: Call): AsyncGenerator<Answer> {
    const wanted = { ...filterOf(request), pageToken: '' };
    for await (const vm of listed(this.#services, wanted, 0, call)) yield { microvm: vmToWire(vm) };
  }
}

async function named<T>(verb: string, uid: string, act: (target: Target) => Promise<T>): Promise<T> {
  if (uid === '') throw noUid();
  try {
    return await act(targetOf(uid));
  } catch (error) {
    throw error instanceof Fault && error.kind === 'not_found' ? notFound(verb, uid) : error;
  }
}

/** A client is known that names microVMs by `namespace/id`; a uid has no slash. Of several none is taken. */
function targetOf(uid: string): Target {
  const slash = uid.indexOf('/');
  if (slash < 0) return { uid };
  // Without an id nobody is named: as a uid it is not found.
  return slash === uid.length - 1 ? { uid } : { namespace: uid.slice(0, slash), id: uid.slice(slash + 1) };
}
