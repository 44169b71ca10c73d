import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { DescMethod } from '@bufbuild/protobuf';
import type { Log } from '../../../ports/log.ts';
import type { CurrentCaller } from '../../current-caller.ts';
import type { Served, Verb } from '../../served.ts';
import { wireError } from '../../status.ts';
import type { Begun, Connection } from '../begin-call.ts';
import { roomOf } from '../room-first.ts';
import { setDeadline, timeoutOf } from './deadline.ts';
import { gone, Outgoing } from './outgoing.ts';
import { readMessage } from './read-message.ts';
import { readMessages } from './read-messages.ts';

export interface DirectOptions {
  readonly log: Log;
  readonly caller: CurrentCaller;
  /** Ends the calls that are under way. */
  readonly stopped: AbortSignal;
  readonly requestMs: number;
  readonly maxBytes: number;
}

/** A call of a method that is answered here. */
export interface DirectMethod {
  readonly desc: DescMethod;
  readonly verb: Verb;
}

/** What is said as gRPC itself: bytes that are not packed, in protobuf's own form. */
export const isDirect = (headers: IncomingHttpHeaders): boolean =>
  headers[':method'] === 'POST' &&
  /^application\/grpc(?:\+proto)?$/i.test(headers['content-type'] ?? '') &&
  (headers['grpc-encoding'] ?? 'identity') === 'identity' &&
  headers.expect === undefined;

/** The methods that are answered here, by their path. */
export const directMethods = (services: readonly Served[]): ReadonlyMap<string, DirectMethod> =>
  new Map(
    services.flatMap(({ desc: service, verbs }) =>
      [...verbs].map(([desc, verb]) => [`/${service.typeName}/${desc.name}`, { desc, verb }] as const),
    ),
  );

/**
 * Answers gRPC without the library: of a small answer its pipeline for any
 * protocol is most of the work. What is said of errors, deadlines and limits is
 * the same.
 */
export class DirectCalls {
  readonly #options: DirectOptions;
  readonly #live = new Set<AbortController>();

  constructor(options: DirectOptions) {
    this.#options = options;
    const { stopped } = options;
    stopped.addEventListener('abort', () => {
      for (const call of this.#live) call.abort(stopped.reason);
    });
  }

  /**
   * Never rejects: what goes wrong is the answer.
   * @returns the code of what it failed with; 0: it was answered
   */
  answer(
    method: DirectMethod,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    begun: Begun,
    { turns }: Connection,
  ): Promise<number> {
    const out = new Outgoing(stream, begun.id, begun.held, turns);
    return this.#options.caller.run(begun.caller, () => this.#run(method, stream, headers, begun, out));
  }

  async #run(
    method: DirectMethod,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    { held, refused }: Begun,
    out: Outgoing,
  ): Promise<number> {
    const { log, stopped, requestMs: ms, maxBytes } = this.#options;
    const call = new AbortController();
    const { signal } = call;
    const answered = new AbortController();
    this.#live.add(call);
    stream.once('close', () => {
      if (!out.isDone) call.abort(gone());
    });
    let clear = (): void => undefined;
    try {
      if (refused) throw refused.thrown;
      clear = setDeadline(call, timeoutOf(headers['grpc-timeout']));
      if (stopped.aborted) throw stopped.reason;
      const reading = { maxBytes, ms, room: held, signal };
      const context = { signal, ...(held && { room: held }) };
      const { desc, verb } = method;
      if (verb.kind === 'both ways') {
        const requests = readMessages(stream, desc, { ...reading, answered: answered.signal });
        for await (const messages of verb.answers(requests, context)) await out.send(messages);
      } else {
        const request = await readMessage(stream, { desc: desc.input, ...reading });
        if (verb.kind === 'one') {
          await held?.answer(roomOf(desc), signal);
          const parts = await verb.answer(request, context);
          held?.made(sizeOf(parts));
          await out.send([parts]);
        } else for await (const messages of verb.answers(request, context)) await out.send(messages);
      }
      out.end();
      return 0;
    } catch (error) {
      const told = wireError(error, log, signal);
      out.fail(told);
      return told.code;
    } finally {
      answered.abort(gone());
      clear();
      this.#live.delete(call);
    }
  }
}

const sizeOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, { length }) => sum + length, 0);
