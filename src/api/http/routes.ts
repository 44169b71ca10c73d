import { create } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Fault } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import { POWER_VERBS, type PowerVerb } from '../../domain/power-wishes.ts';
import {
  CreateMicroVMRequestSchema,
  CreateMicroVMResponseSchema,
  DeleteMicroVMRequestSchema,
  GetMicroVMRequestSchema,
  ListMicroVMsRequestSchema,
  ListMicroVMsResponseSchema,
  type MicroVMEvent,
  MicroVMEvent_TypeSchema,
  MicroVMEventSchema,
  type PowerMicroVMRequest,
  PowerMicroVMRequestSchema,
  ReadConsoleRequestSchema,
  UpdateMicroVMRequestSchema,
  UpdateMicroVMResponseSchema,
  WatchMicroVMsRequestSchema,
} from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { MicroVMSchema, type MicroVMSpec, MicroVMSpecSchema } from '../../gen/types/microvm_pb.ts';
import type { Log } from '../../ports/log.ts';
import type { Native } from '../native/services.ts';
import { wireError } from '../status.ts';
import { type CallOptions, callOf, callSignal } from './call-signal.ts';
import { errorJson, jsonOf, messageOf, sendMessage } from './json.ts';
import { mergePatchOf, pathsOf } from './merge-patch.ts';
import { agreeOnUid, type Named, uidOf } from './named.ts';
import { Query } from './query.ts';
import { LIST, type Routes, STREAM } from './server.ts';
import { sendStream } from './stream.ts';
import type { Upgrades } from './upgrade.ts';

const ALL = '/v1/microvms';
const BY_UID = '/v1/microvms/:uid';
const IN_NAMESPACE = '/v1/namespaces/:namespace/microvms';
const BY_ID = '/v1/namespaces/:namespace/microvms/:id';
/** Behind the last colon: neither a uid nor an id has one. */
const POWER = {
  start: 'startMicroVM',
  stop: 'stopMicroVM',
  reboot: 'rebootMicroVM',
  pause: 'pauseMicroVM',
  resume: 'resumeMicroVM',
} as const satisfies Record<PowerVerb, string>;

/** The fields of a spec by which it names its microvm: of a patch they change nothing. */
const NAMES: readonly string[] = ['uid', 'namespace', 'id'];

/** Fastify's router has matched the path: its parameters are there. */
const paramsOf = <T>(request: FastifyRequest): T => request.params as T;

/** Proxies cut what is quiet for a minute; the standard recommends about 15 s. */
const KEEP_ALIVE_MS = 15_000;

export interface RouteOptions extends CallOptions {
  readonly native: Native;
  readonly log: Log;
  /** The requests that want to go on as a WebSocket. */
  readonly upgrades: Upgrades;
  /** A quiet stream of events says so often that it lives, in milliseconds. */
  readonly keepAliveMs?: number;
}

/**
 * MicroVMService over HTTP: the same verbs as gRPC, in protobuf's JSON.
 * A create answers 201 with the record, a delete 200 with `{}` at once.
 */
export const nativeRoutes =
  ({ native, log, stopped, flows, keepAliveMs = KEEP_ALIVE_MS }: RouteOptions): Routes =>
  (app) => {
    const { microvms } = native;
    app.post(IN_NAMESPACE, async (request, reply) => {
      const validateOnly = new Query(request.query, ['validateOnly']).flag('validateOnly');
      const spec = messageOf(MicroVMSpecSchema, request.body);
      const { namespace } = paramsOf<{ namespace: string }>(request);
      agree(spec, { namespace });
      spec.namespace = namespace;
      const idempotencyKey = idempotencyKeyOf(request);
      const wanted = create(CreateMicroVMRequestSchema, { microvm: spec, idempotencyKey, validateOnly });
      const answer = await microvms.createMicroVM(wanted);
      if (validateOnly) return sendMessage(reply, CreateMicroVMResponseSchema, answer);
      return sendMessage(reply, MicroVMSchema, answer.microvm, 201);
    });

    const list = async (request: FastifyRequest, reply: FastifyReply, namespace: string | undefined) => {
      const filters = ['labelSelector', 'pageSize', 'pageToken', 'showDeleted'];
      const query = new Query(request.query, namespace === undefined ? [...filters, 'namespace'] : filters);
      const wanted = create(ListMicroVMsRequestSchema, {
        namespace: namespace ?? query.text('namespace'),
        labelSelector: query.text('labelSelector'),
        pageSize: query.count('pageSize'),
        pageToken: query.text('pageToken'),
        showDeleted: query.flag('showDeleted'),
      });
      return sendMessage(reply, ListMicroVMsResponseSchema, await microvms.listMicroVMs(wanted));
    };
    app.get(ALL, LIST, (request, reply) => list(request, reply, undefined));
    app.get(IN_NAMESPACE, LIST, (request, reply) =>
      list(request, reply, paramsOf<{ namespace: string }>(request).namespace),
    );

    for (const path of [BY_UID, BY_ID]) {
      app.get(path, async (request, reply) => {
        const showDeleted = new Query(request.query, ['showDeleted']).flag('showDeleted');
        const wanted = create(GetMicroVMRequestSchema, { ...paramsOf<Named>(request), showDeleted });
        const { microvm } = await microvms.getMicroVM(wanted);
        return sendMessage(reply, MicroVMSchema, microvm);
      });
      app.delete(path, async (request, reply) => {
        new Query(request.query, []);
        await microvms.deleteMicroVM(create(DeleteMicroVMRequestSchema, paramsOf<Named>(request)));
        return sendMessage(reply, EmptySchema, {});
      });
      app.patch(path, async (request, reply) => {
        const query = new Query(request.query, ['updateMask', 'expectedGeneration', 'validateOnly']);
        const { spec, paths } = mergePatchOf(request.body);
        const named = paramsOf<Named>(request);
        agree(spec, named);
        const asked = pathsOf(query.text('updateMask'));
        const wanted = create(UpdateMicroVMRequestSchema, {
          microvm: Object.assign(spec, named),
          updateMask: { paths: asked.length > 0 ? [...asked] : paths.filter((one) => !NAMES.includes(one)) },
          expectedGeneration: BigInt(query.count('expectedGeneration')),
          validateOnly: query.flag('validateOnly'),
        });
        const answer = await microvms.updateMicroVM(wanted);
        if (wanted.validateOnly) return sendMessage(reply, UpdateMicroVMResponseSchema, answer);
        return sendMessage(reply, MicroVMSchema, answer.microvm);
      });
      for (const verb of POWER_VERBS)
        app.post(`${path}(^[^:/]+)::${verb}`, async (request, reply) => {
          new Query(request.query, []);
          const { uid: other, timeout } = powerOf(request.body);
          const uid = await uidOf(native, paramsOf<Named>(request));
          agreeOnUid('uid', other, uid);
          const wanted = create(PowerMicroVMRequestSchema, { uid, ...(timeout && { timeout }) });
          const { microvm } = await microvms[POWER[verb]](wanted, { signal: callSignal(reply, stopped) });
          return sendMessage(reply, MicroVMSchema, microvm);
        });
      app.get(`${path}/console`, STREAM, async (request, reply) => {
        const query = new Query(request.query, ['follow', 'tailBytes']);
        const follow = query.flag('follow');
        const tailBytes = BigInt(query.count('tailBytes'));
        const uid = await uidOf(native, paramsOf<Named>(request));
        const call = callOf(reply, { stopped, flows });
        const pieces = microvms.readConsole(create(ReadConsoleRequestSchema, { uid, follow, tailBytes }), call);
        const contentType = 'application/octet-stream';
        await sendStream(reply, bytesOf(pieces), { contentType, ...call, farewell: () => undefined });
        return reply;
      });
    }

    app.get('/v1/watch', STREAM, async (request, reply) => {
      const query = new Query(request.query, ['namespace', 'labelSelector', 'cursor']);
      const wanted = create(WatchMicroVMsRequestSchema, {
        namespace: query.text('namespace'),
        labelSelector: query.text('labelSelector'),
        // A browser that comes back names the last event that it saw; its address is still the first one.
        cursor: String(request.headers['last-event-id'] || query.text('cursor')),
      });
      const call = callOf(reply, { stopped, flows });
      const events = microvms.watchMicroVMs(wanted, call);
      const farewell = (error: unknown): string =>
        `event: error\ndata: ${errorJson(wireError(error, log, call.signal))}\n\n`;
      const contentType = 'text/event-stream';
      const idle = { ms: keepAliveMs, text: ': still there\n\n' };
      await sendStream(reply, serverSentEvents(events), { contentType, ...call, idle, farewell });
      return reply;
    });
  };

/** What the path names may stand in the body too, but not as another. @throws Fault `invalid` */
function agree(spec: MicroVMSpec, named: { readonly uid?: string; readonly namespace?: string; readonly id?: string }) {
  const wrong = (['uid', 'namespace', 'id'] as const).flatMap((field) => {
    const [inBody, inPath] = [spec[field], named[field]];
    if (inBody === '' || inPath === undefined || inBody === inPath) return [];
    const description = `is "${shorten(inBody)}" in the body and "${shorten(inPath)}" in the path; give one of them`;
    return [{ field, description }];
  });
  if (wrong.length > 0) throw Fault.invalid(wrong);
}

/** @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ */
function idempotencyKeyOf({ headers }: FastifyRequest): string {
  const key = headers['idempotency-key'];
  // Who sends an empty one believes to be safe.
  if (key === '')
    throw Fault.invalid([{ field: 'idempotency_key', description: 'the header Idempotency-Key is empty' }]);
  return String(key ?? '');
}

/** A verb needs no body. */
const powerOf = (body: unknown): PowerMicroVMRequest =>
  body === undefined || body === null || body === ''
    ? create(PowerMicroVMRequestSchema)
    : messageOf(PowerMicroVMRequestSchema, body);

async function* bytesOf(pieces: AsyncIterable<{ readonly data: Uint8Array }>): AsyncGenerator<Uint8Array> {
  for await (const { data } of pieces) yield data;
}

/** @see https://html.spec.whatwg.org/multipage/server-sent-events.html */
async function* serverSentEvents(events: AsyncIterable<MicroVMEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    const type = MicroVMEvent_TypeSchema.value[event.type]?.name ?? 'TYPE_UNSPECIFIED';
    yield `event: ${type}\nid: ${event.cursor}\ndata: ${jsonOf(MicroVMEventSchema, event)}\n\n`;
  }
}
