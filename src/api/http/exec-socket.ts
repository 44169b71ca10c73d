import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { TimeLimit } from '../../base/time-limit.ts';
import { Fault } from '../../domain/fault.ts';
import { type ExecRequest, ExecRequestSchema, ExecResponseSchema } from '../../gen/flintlock/microvm/v1/guest_pb.ts';
import { ownBytes } from '../own-bytes.ts';
import { wireError } from '../status.ts';
import { callOf } from './call-signal.ts';
import { errorJson, jsonOf, messageOf, sendError } from './json.ts';
import { agreeOnUid, type Named, uidOf } from './named.ts';
import { Query } from './query.ts';
import type { RouteOptions } from './routes.ts';
import { type Routes, STREAM } from './server.ts';
import { CLOSED, MessageSocket } from './web-socket.ts';

const PATHS = ['/v1/microvms/:uid/exec', '/v1/namespaces/:namespace/microvms/:id/exec'];
const PROTOCOL = 'flintlock.exec.v1';
/** The first byte of a message of bytes: which stream of the program the rest is of. */
const STDIN = 0;
const STREAMS = { stdout: 1, stderr: 2 } as const;
/** For the message that says what to run. */
const START_MS = 30_000;
const PING_MS = 15_000;

type Answer = MessageInitShape<typeof ExecResponseSchema>;

/**
 * A program in a guest, with what it reads while it runs, over a WebSocket: GuestService.Exec for who has no gRPC. Texts are its
 * messages in JSON; bytes of the streams have one byte before them.
 */
export const execSocket =
  ({ native, log, stopped, flows, upgrades, keepAliveMs: pingMs = PING_MS }: RouteOptions): Routes =>
  (app) => {
    for (const path of PATHS) {
      app.get(path, STREAM, async (request: FastifyRequest, reply: FastifyReply) => {
        new Query(request.query, []);
        const upgrade = upgrades.get(request.raw);
        if (!upgrade) {
          reply.header('upgrade', 'websocket').header('connection', 'Upgrade');
          const message =
            'This is a WebSocket: ask for an upgrade to one, or POST to …:exec for a program whose input is known';
          return sendError(reply, { code: Code.FailedPrecondition, http: 426, message, details: [] });
        }
        const uid = await uidOf(native, request.params as Named);
        const call = callOf(reply, { stopped, flows });
        const socket = MessageSocket.take(request, reply, upgrade, { protocol: PROTOCOL, pingMs, ...call });
        if (!socket) return reply;
        try {
          for await (const answer of native.guests.exec(requestsOf(socket, uid), call))
            await socket.send(packed(answer));
          await socket.close(CLOSED.done);
        } catch (error) {
          // Who is gone is told nothing, and it is no fault of anybody's.
          await socket.send(`{"error":${errorJson(wireError(error, log, call.signal))}}`).catch(() => undefined);
          await socket.close(CLOSED.failed);
        }
        return reply;
      });
    }
  };

async function* requestsOf(socket: MessageSocket, uid: string): AsyncGenerator<ExecRequest> {
  using late = new TimeLimit(undefined, START_MS);
  const tooLate = new Promise<never>((_resolve, reject) =>
    late.signal.addEventListener('abort', () =>
      reject(new Fault('timeout', `What is to run was not said within ${START_MS / 1_000} s`)),
    ),
  );
  const messages = socket.read();
  let next = await Promise.race([messages.next(), tooLate]);
  late[Symbol.dispose]();
  for (; !next.done; next = await messages.next()) {
    const message = next.value;
    if (message.is === 'text') {
      const request = messageOf(ExecRequestSchema, message.text);
      if (request.payload.case === 'start') {
        agreeOnUid('start.uid', request.payload.value.uid, uid);
        request.payload.value.uid = uid;
      }
      yield request;
    } else if (message.bytes[0] !== STDIN) {
      const description = `is ${message.bytes[0] ?? 'missing'}, and must be ${STDIN}, for standard input`;
      throw Fault.invalid([{ field: 'the first byte of a binary message', description }]);
    } else if (message.bytes.length > 1)
      yield create(ExecRequestSchema, { payload: { case: 'stdin', value: ownBytes(message.bytes.subarray(1)) } });
  }
}

function packed(answer: Answer): string | Uint8Array {
  const { payload } = answer;
  if (payload?.case !== 'stdout' && payload?.case !== 'stderr') return jsonOf(ExecResponseSchema, answer);
  return Buffer.concat([Uint8Array.of(STREAMS[payload.case]), payload.value ?? new Uint8Array()]);
}
