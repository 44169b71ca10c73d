import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  ExecResponseSchema,
  InfoRequestSchema,
  InfoResponseSchema,
  type RunRequest,
  RunRequestSchema,
  RunResponseSchema,
} from '../../gen/flintlock/microvm/v1/guest_pb.ts';
import { wireError } from '../status.ts';
import { callOf, callSignal } from './call-signal.ts';
import { errorJson, jsonOf, messageOf, sendMessage } from './json.ts';
import { agreeOnUid, type Named, uidOf } from './named.ts';
import { Query } from './query.ts';
import type { RouteOptions } from './routes.ts';
import { LIST, type Routes, STREAM } from './server.ts';
import { sendStream } from './stream.ts';

/** Two colons: one would begin a parameter. The pattern leaves the verb out of the name before it. */
const EXEC = ['/v1/microvms/:uid(^[^:/]+)::exec', '/v1/namespaces/:namespace/microvms/:id(^[^:/]+)::exec'];
const STREAMED = EXEC.map((path) => `${path}Stream`);
const AGENT = ['/v1/microvms/:uid/agent', '/v1/namespaces/:namespace/microvms/:id/agent'];

/**
 * GuestService over HTTP. `:exec` answers when the program has ended, with what it wrote; `:execStream` with one
 * ExecResponse a line (newline-delimited JSON) as it comes, the last one with `exit` or `error`. What the program reads is in
 * the request; one that is spoken to while it runs is in exec-socket.ts.
 */
export const guestRoutes =
  ({ native, log, stopped, flows }: RouteOptions): Routes =>
  (app) => {
    const { guests } = native;
    for (const path of EXEC)
      app.post(path, LIST, async (request, reply) => {
        const wanted = await wantedOf(request);
        const answer = await guests.run(wanted, { signal: callSignal(reply, stopped) });
        return sendMessage(reply, RunResponseSchema, answer);
      });
    for (const path of STREAMED)
      app.post(path, STREAM, async (request, reply) => {
        const wanted = await wantedOf(request);
        const call = callOf(reply, { stopped, flows });
        const farewell = (error: unknown): string => `{"error":${errorJson(wireError(error, log, call.signal))}}\n`;
        const contentType = 'application/x-ndjson';
        await sendStream(reply, lines(guests.stream(wanted, call)), { contentType, ...call, farewell });
        return reply;
      });
    for (const path of AGENT)
      app.get(path, async (request: FastifyRequest, reply: FastifyReply) => {
        new Query(request.query, []);
        const uid = await uidOf(native, request.params as Named);
        const call = { signal: callSignal(reply, stopped) };
        return sendMessage(reply, InfoResponseSchema, await guests.info(create(InfoRequestSchema, { uid }), call));
      });

    const wantedOf = async (request: FastifyRequest): Promise<RunRequest> => {
      new Query(request.query, []);
      const wanted = messageOf(RunRequestSchema, request.body);
      const uid = await uidOf(native, request.params as Named);
      agreeOnUid('start.uid', wanted.start?.uid ?? '', uid);
      if (wanted.start) wanted.start.uid = uid;
      return wanted;
    };
  };

async function* lines(answers: AsyncIterable<MessageInitShape<typeof ExecResponseSchema>>): AsyncGenerator<string> {
  for await (const answer of answers) yield `${jsonOf(ExecResponseSchema, answer)}\n`;
}
