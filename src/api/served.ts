import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { ConnectRouter, HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { Fault } from '../domain/fault.ts';
import type { Room } from '../service/answer-room.ts';
import { FLOW } from './flow/flow.ts';
import { partsOf } from './message-parts.ts';

/** What a verb needs to know of its call; connect's HandlerContext is one. */
export interface Call {
  /** Aborts when the caller goes away, its deadline passes or the daemon ends. */
  readonly signal: AbortSignal;
  /** Where what a stream reads has room; absent: it is taken at once. */
  readonly room?: Room;
}

/** A message's bytes, in parts that need not be put together. */
type Parts = readonly Uint8Array[];

/** A verb that answers with bytes. */
export type Verb =
  /** With one message. */
  | { readonly kind: 'one'; answer(request: Message, call: Call): Promise<Parts> }
  /** With messages; those that are there at once come together. */
  | { readonly kind: 'many'; answers(request: Message, call: Call): AsyncIterable<readonly Parts[]> }
  /** It takes messages while it answers with others. */
  | {
      readonly kind: 'both ways';
      answers(requests: AsyncIterable<Message>, call: Call): AsyncIterable<readonly Parts[]>;
    };

/** One gRPC service with what answers it. */
export interface Served {
  readonly desc: DescService;
  register(router: ConnectRouter): void;
  /** Of all methods but those that answer many messages with one. */
  readonly verbs: ReadonlyMap<DescMethod, Verb>;
}

/** What answers one method. */
type Answering<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, call: Call) => MessageInitShape<O> | Promise<MessageInitShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, call: Call) => AsyncIterable<MessageInitShape<O>>
      : M extends DescMethodBiDiStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageShape<I>>, call: Call) => AsyncIterable<MessageInitShape<O>>
        : M extends DescMethodClientStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageShape<I>>, call: Call) => Promise<MessageInitShape<O>>
          : never;

/** The same where it has the bytes already, and need not make a message. */
type AnsweringInBytes<M extends DescMethod> =
  M extends DescMethodUnary<infer I>
    ? (request: MessageShape<I>, call: Call) => Promise<readonly Uint8Array[]>
    : M extends DescMethodServerStreaming<infer I>
      ? (request: MessageShape<I>, call: Call) => AsyncIterable<readonly Uint8Array[]>
      : never;

type Impl<S extends DescService> = { readonly [K in keyof S['method']]?: Answering<S['method'][K]> };
/** Some of the answers of an {@link Impl} as bytes. */
export type Encoded<S extends DescService> = { readonly [K in keyof S['method']]?: AnsweringInBytes<S['method'][K]> };

/**
 * @param impl - a method that it lacks is UNIMPLEMENTED
 * @param encoded - the same answers as `impl`'s, of some methods
 */
export function served<S extends DescService>(desc: S, impl: Impl<S>, encoded: Encoded<S> = {}): Served {
  const built: Readonly<Record<string, Handler | undefined>> = impl;
  const bytes: Readonly<Record<string, Handler | undefined>> = encoded;
  const handlers = desc.methods.map((method): [DescMethod, Handler] => [
    method,
    built[method.localName]?.bind(impl) ?? (() => unbuilt(method)),
  ]);
  return {
    desc,
    register: (router) => void router.service(desc, forLibrary<S>(handlers)),
    verbs: new Map(handlers.flatMap(([method, handler]) => verbOf(method, handler, bytes[method.localName]))),
  };
}

type Handler = (request: never, call: Call) => unknown;

function forLibrary<S extends DescService>(handlers: readonly (readonly [DescMethod, Handler])[]): ServiceImpl<S> {
  const all = handlers.map(([method, handler]) => [
    method.localName,
    (request: never, context: HandlerContext) => {
      const room = context.values.get(FLOW);
      return handler(request, room ? Object.assign(context, { room }) : context);
    },
  ]);
  // The description names every method of S, and `impl` gives each its own type.
  return Object.fromEntries(all) as ServiceImpl<S>;
}

/** What `impl` gives for a method is of the method's type: so says ServiceImpl. */
function verbOf(method: DescMethod, handler: Handler, encoded: Handler | undefined): [DescMethod, Verb][] {
  const encode = (answer: unknown): Parts => partsOf(method.output, answer as MessageInitShape<DescMessage>);
  if (method.methodKind === 'unary') {
    const whole = async (request: never, call: Call) => encode(await handler(request, call));
    const answer = (request: Message, call: Call) => (encoded ?? whole)(request as never, call) as Promise<Parts>;
    return [[method, { kind: 'one', answer }]];
  }
  if (method.methodKind === 'client_streaming') return [];
  async function* each(request: never, call: Call): AsyncGenerator<readonly Parts[]> {
    for await (const message of handler(request, call) as AsyncIterable<unknown>) yield [encode(message)];
  }
  if (method.methodKind === 'bidi_streaming')
    return [[method, { kind: 'both ways', answers: (requests, call) => each(requests as never, call) }]];
  async function* pages(request: never, call: Call): AsyncGenerator<readonly Parts[]> {
    const answered = encoded?.(request, call) as AsyncIterable<readonly Uint8Array[]>;
    for await (const messages of answered) yield messages.map((one) => [one]);
  }
  const answers = (request: Message, call: Call) => (encoded ? pages : each)(request as never, call);
  return [[method, { kind: 'many', answers }]];
}

function unbuilt({ name, parent }: DescMethod): never {
  throw new Fault('unbuilt', `${parent.typeName}.${name} is not built yet in this version`);
}
