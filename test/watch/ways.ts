import { text as textOf } from 'node:stream/consumers';
import { fromJsonString } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError } from '@connectrpc/connect';
import { Fault } from '../../src/domain/fault.ts';
import {
  type MicroVMEvent,
  MicroVMEvent_TypeSchema,
  MicroVMEventSchema,
  type MicroVMService,
} from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import { type WatchNeeds, watch } from '../../src/service/watch.ts';

/** What a daemon shows from its start to its end. */
export interface Surface {
  readonly vms: Client<typeof MicroVMService>;
  readonly fetch: (path: string, headers: Record<string, string>, signal: AbortSignal) => Promise<HttpAnswer>;
  /** Of its database. */
  readonly epoch: string;
  /** Where it is in this process. */
  readonly needs?: WatchNeeds;
  /** Aborts when it ends. */
  readonly ended: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: AsyncIterable<Uint8Array>;
}

/** What a watcher is told, however it came. */
export interface Told {
  readonly type: string;
  readonly uid: string;
  readonly version: number;
  readonly cursor: string;
  readonly bytes: number;
}

export interface Asked {
  readonly namespace: string;
  readonly labelSelector: string;
  readonly cursor: string;
}

/** One way to the stream of changes. It throws `Expired` where the cursor is too old. */
export type Way = (life: Surface, asked: Asked, signal: AbortSignal) => AsyncIterable<Told>;

export class Expired extends Error {}

const fromWire = ({ type, microvm, cursor }: MicroVMEvent, bytes: number): Told => ({
  type: MicroVMEvent_TypeSchema.value[type]?.name ?? '',
  uid: microvm?.spec?.uid ?? '',
  version: microvm?.version ?? 0,
  cursor,
  bytes,
});

export const WAYS = {
  async *service({ needs, ended }, asked, signal) {
    if (!needs) throw new Error('the daemon is in another process');
    try {
      const both = AbortSignal.any([ended, signal]);
      for await (const { type, vm, cursor } of watch(needs, asked, both))
        yield { type, uid: vm?.uid ?? '', version: vm?.version ?? 0, cursor, bytes: 0 };
    } catch (error) {
      throw error instanceof Fault && error.kind === 'expired' ? new Expired() : error;
    }
  },

  async *grpc({ vms }, asked, signal) {
    try {
      for await (const event of vms.watchMicroVMs(asked, { signal }))
        yield fromWire(event, event.microvm?.spec?.metadata.x?.length ?? 0);
    } catch (error) {
      throw error instanceof ConnectError && error.code === Code.OutOfRange ? new Expired() : error;
    }
  },

  async *http({ fetch }, { namespace, labelSelector, cursor }, signal) {
    const query = new URLSearchParams({ namespace, labelSelector });
    const headers: Record<string, string> = cursor === '' ? {} : { 'last-event-id': cursor };
    const { status, body } = await fetch(`/v1/watch?${query}`, headers, signal);
    if (status !== 200) {
      const { code } = JSON.parse(await textOf(body)) as { code?: number };
      throw code === Code.OutOfRange ? new Expired() : new Error(`the status is ${status}`);
    }
    const decoder = new TextDecoder();
    let text = '';
    for await (const piece of body) {
      const events = `${text}${decoder.decode(piece, { stream: true })}`.split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) {
        if (event.startsWith(':')) continue;
        const [, type, id, data = ''] = /^event: (.*)\nid: (.*)\ndata: (.*)$/.exec(event) ?? [];
        if (type === undefined) throw event.includes('"code":11') ? new Expired() : new Error(event);
        const told = fromWire(fromJsonString(MicroVMEventSchema, data), data.length);
        if (told.type !== type || told.cursor !== id) throw new Error(`the event's head is not its body's: ${event}`);
        yield told;
      }
    }
    throw new Error('the stream ended');
  },
} as const satisfies Readonly<Record<string, Way>>;
