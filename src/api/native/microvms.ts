import { isFieldSet } from '@bufbuild/protobuf';
import { type Duration, durationMs } from '@bufbuild/protobuf/wkt';
import { Fault } from '../../domain/fault.ts';
import type { PowerVerb } from '../../domain/power-wishes.ts';
import {
  type AttachConsoleRequest,
  type CreateMicroVMRequest,
  type DeleteMicroVMRequest,
  type GetMicroVMRequest,
  type ListMicroVMsRequest,
  type MicroVMEvent,
  type PowerMicroVMRequest,
  type ReadConsoleRequest,
  type UpdateMicroVMRequest,
  type WaitMicroVMRequest,
  WaitMicroVMRequest_Until,
  type WatchMicroVMsRequest,
} from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { type MicroVM, type MicroVMSpec, MicroVMSpecSchema } from '../../gen/types/microvm_pb.ts';
import type { Services, Target, Until } from '../../service/services.ts';
import { eachUntil } from '../each-until.ts';
import { ANSWER_BYTES } from '../flow/limits.ts';
import { listed } from '../flow/listed.ts';
import { ownBytes } from '../own-bytes.ts';
import type { Call } from '../served.ts';
import { specToDraft } from './from-wire.ts';
import { eventToWire, plannedToWire, vmToWire } from './to-wire.ts';

/** The answer of every verb that ends with one record. */
interface Answer {
  readonly microvm: MicroVM;
}

/** The answer of a verb that can also only say what it would do. */
interface Mutated extends Answer {
  readonly plan: string[];
}

/** How long WaitMicroVM and the power verbs wait when they are not told (microvms.proto). */
const DEFAULT_WAIT_MS = 60_000;
/** A timer of Node holds at most 2^31 - 1 ms, which is 24 days. */
const MAX_WAIT_MS = 24 * 3_600_000;

const UNTIL = new Map<number, Until>([
  [WaitMicroVMRequest_Until.CREATED, 'CREATED'],
  [WaitMicroVMRequest_Until.STOPPED, 'STOPPED'],
  [WaitMicroVMRequest_Until.GONE, 'GONE'],
  [WaitMicroVMRequest_Until.ADDRESS, 'ADDRESS'],
  [WaitMicroVMRequest_Until.CONFIGURED, 'CONFIGURED'],
  [WaitMicroVMRequest_Until.ALIVE, 'ALIVE'],
  [WaitMicroVMRequest_Until.AGENT, 'AGENT'],
]);

/** The verbs of MicroVMService, for gRPC and HTTP alike: wire in, wire out, and Fault. */
export class MicroVms {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async createMicroVM({ microvm, idempotencyKey, validateOnly }: CreateMicroVMRequest): Promise<Mutated> {
    if (!microvm) throw Fault.invalid([{ field: 'microvm', description: 'must hold the spec to create' }]);
    const draft = specToDraft(microvm);
    const options = { uniqueId: true, idempotencyKey };
    if (!validateOnly) return { microvm: vmToWire(await this.#services.create(draft, options)), plan: [] };
    const { vm, plan } = await this.#services.planCreate(draft, options);
    return { microvm: plannedToWire(vm), plan: [...plan] };
  }

  async updateMicroVM(request: UpdateMicroVMRequest): Promise<Mutated> {
    const { microvm, updateMask, expectedGeneration, validateOnly } = request;
    if (!microvm)
      throw Fault.invalid([{ field: 'microvm', description: 'must name the microvm and hold the new values' }]);
    if (expectedGeneration < 0n)
      throw Fault.invalid([{ field: 'expected_generation', description: 'must not be negative' }]);
    const mask = updateMask && updateMask.paths.length > 0 ? updateMask.paths : populated(microvm);
    const { uid, namespace, id } = microvm;
    const wanted = {
      target: targetOf({ uid, namespace, id }),
      draft: specToDraft(microvm),
      mask,
      expectedGeneration: Number(expectedGeneration),
    };
    if (!validateOnly) return { microvm: vmToWire(await this.#services.update(wanted)), plan: [] };
    const { vm, plan } = await this.#services.planUpdate(wanted);
    return { microvm: plannedToWire(vm), plan: [...plan] };
  }

  async getMicroVM(request: GetMicroVMRequest): Promise<Answer> {
    const vm = await this.#services.get(targetOf(request), { showDeleted: request.showDeleted });
    return { microvm: vmToWire(vm) };
  }

  async deleteMicroVM(request: DeleteMicroVMRequest): Promise<object> {
    await this.#services.delete(targetOf(request));
    return {};
  }

  async listMicroVMs(request: ListMicroVMsRequest): Promise<{ microvm: MicroVM[]; nextPageToken: string }> {
    const { vms, nextPageToken } = await this.#services.list({ ...request, maxBytes: ANSWER_BYTES });
    return { microvm: vms.map(vmToWire), nextPageToken };
  }

  /** Reads page by page, so that a long list takes no more memory than a short one. */
  async *listMicroVMsStream(request: ListMicroVMsRequest, call: Call): AsyncGenerator<Answer> {
    const { namespace, labelSelector, showDeleted, pageToken, pageSize } = request;
    const wanted = { namespace, labelSelector, showDeleted, pageToken };
    for await (const vm of listed(this.#services, wanted, pageSize, call)) yield { microvm: vmToWire(vm) };
  }

  async *watchMicroVMs(
    { namespace, labelSelector, cursor }: WatchMicroVMsRequest,
    { signal, room }: Call,
  ): AsyncGenerator<MicroVMEvent> {
    const events = this.#services.watch({ namespace, labelSelector, cursor }, signal, room);
    for await (const event of eachUntil(signal, events)) yield eventToWire(event);
  }

  async waitMicroVM({ uid, until, timeout }: WaitMicroVMRequest, { signal }: Call): Promise<Answer> {
    const wanted = UNTIL.get(until);
    const timeoutMs = waitMs(timeout);
    const violations = [
      ...(uid === '' ? [{ field: 'uid', description: 'must name the microvm to wait for' }] : []),
      ...(wanted
        ? []
        : [{ field: 'until', description: 'must be CREATED, STOPPED, GONE, ADDRESS, CONFIGURED, ALIVE or AGENT' }]),
      ...(timeoutMs === undefined ? [{ field: 'timeout', description: 'must be from 0 s to 24 h' }] : []),
    ];
    if (!wanted || timeoutMs === undefined || violations.length > 0) throw Fault.invalid(violations);
    return { microvm: vmToWire(await this.#services.wait({ uid, until: wanted, timeoutMs }, signal)) };
  }

  async startMicroVM(request: PowerMicroVMRequest, { signal }: Call): Promise<Answer> {
    return this.#power('start', request, signal);
  }

  async stopMicroVM(request: PowerMicroVMRequest, { signal }: Call): Promise<Answer> {
    return this.#power('stop', request, signal);
  }

  async rebootMicroVM(request: PowerMicroVMRequest, { signal }: Call): Promise<Answer> {
    return this.#power('reboot', request, signal);
  }

  async pauseMicroVM(request: PowerMicroVMRequest, { signal }: Call): Promise<Answer> {
    return this.#power('pause', request, signal);
  }

  async resumeMicroVM(request: PowerMicroVMRequest, { signal }: Call): Promise<Answer> {
    return this.#power('resume', request, signal);
  }

  async #power(verb: PowerVerb, { uid, timeout }: PowerMicroVMRequest, signal: AbortSignal): Promise<Answer> {
    const timeoutMs = waitMs(timeout);
    const violations = [
      ...(uid === '' ? [{ field: 'uid', description: `must name the microvm to ${verb}` }] : []),
      ...(timeoutMs === undefined ? [{ field: 'timeout', description: 'must be from 0 s to 24 h' }] : []),
    ];
    if (timeoutMs === undefined || violations.length > 0) throw Fault.invalid(violations);
    return { microvm: vmToWire(await this.#services.power(verb, { uid, timeoutMs }, signal)) };
  }

  async *readConsole(
    { uid, follow, tailBytes }: ReadConsoleRequest,
    { signal }: Call,
  ): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
    if (uid === '') throw Fault.invalid([{ field: 'uid', description: 'must name the microvm to read from' }]);
    if (tailBytes < 0n) throw Fault.invalid([{ field: 'tail_bytes', description: 'must not be negative' }]);
    const pieces = this.#services.readConsole({ uid, follow, tailBytes: Number(tailBytes) }, signal);
    for await (const data of eachUntil(signal, pieces)) yield { data: ownBytes(data) };
  }

  async *attachConsole(
    requests: AsyncIterable<AttachConsoleRequest>,
    { signal }: Call,
  ): AsyncGenerator<{ data: Uint8Array<ArrayBuffer> }> {
    const messages = requests[Symbol.asyncIterator]();
    const first = await messages.next();
    const { uid = '', tailBytes = 0n, data = new Uint8Array() } = first.done ? {} : first.value;
    if (uid === '')
      throw Fault.invalid([{ field: 'uid', description: 'must name the microvm to attach to, in the first message' }]);
    if (tailBytes < 0n) throw Fault.invalid([{ field: 'tail_bytes', description: 'must not be negative' }]);
    const request = { uid, tailBytes: Number(tailBytes) };
    const pieces = this.#services.attachConsole(request, typedIn(messages, data), signal);
    for await (const piece of eachUntil(signal, pieces)) yield { data: ownBytes(piece) };
  }
}

/** By these a spec names its microVM. */
const NAMES: ReadonlySet<string> = new Set(['uid', 'namespace', 'id']);

/** Without a mask what is set is what changes. */
const populated = (spec: MicroVMSpec): readonly string[] =>
  MicroVMSpecSchema.fields.filter((field) => isFieldSet(spec, field) && !NAMES.has(field.name)).map(({ name }) => name);

async function* typedIn(requests: AsyncIterator<AttachConsoleRequest>, first: Uint8Array): AsyncGenerator<Uint8Array> {
  yield first;
  for (let next = await requests.next(); !next.done; next = await requests.next()) {
    if (next.value.uid !== '' || next.value.tailBytes !== 0n)
      throw Fault.invalid([{ field: 'uid', description: 'and tail_bytes belong into the first message only' }]);
    yield next.value.data;
  }
}

/** A uid wins over namespace and id (microvms.proto). */
const targetOf = ({ uid, namespace, id }: { uid: string; namespace: string; id: string }): Target =>
  uid === '' ? { namespace, id } : { uid };

function waitMs(timeout: Duration | undefined): number | undefined {
  if (!timeout) return DEFAULT_WAIT_MS;
  const ms = durationMs(timeout);
  return ms >= 0 && ms <= MAX_WAIT_MS ? ms : undefined;
}
