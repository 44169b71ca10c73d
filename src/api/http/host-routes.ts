import { create } from '@bufbuild/protobuf';
import {
  AuditRequestSchema,
  AuditResponseSchema,
  CordonHostRequestSchema,
  CordonHostResponseSchema,
  ServerInfoRequestSchema,
  ServerInfoResponseSchema,
  UncordonHostRequestSchema,
  UncordonHostResponseSchema,
} from '../../gen/flintlock/microvm/v1/host_pb.ts';
import { callSignal } from './call-signal.ts';
import { messageOf, sendMessage } from './json.ts';
import { Query } from './query.ts';
import type { RouteOptions } from './routes.ts';
import type { Routes } from './server.ts';

/** HostService over HTTP. */
export const hostRoutes =
  ({ native: { hosts }, stopped }: RouteOptions): Routes =>
  (app) => {
    app.get('/v1/info', async (request, reply) => {
      new Query(request.query, []);
      return sendMessage(reply, ServerInfoResponseSchema, await hosts.serverInfo(create(ServerInfoRequestSchema)));
    });

    app.post('/v1/audit', async (request, reply) => {
      const fix = new Query(request.query, ['fix']).flag('fix');
      const signal = callSignal(reply, stopped);
      return sendMessage(
        reply,
        AuditResponseSchema,
        await hosts.audit(create(AuditRequestSchema, { fix }), { signal }),
      );
    });

    // Two colons: one would begin a parameter.
    app.post('/v1/host::cordon', async (request, reply) => {
      new Query(request.query, []);
      const { body } = request;
      const isEmpty = body === undefined || body === null || body === '';
      const wanted = isEmpty ? create(CordonHostRequestSchema) : messageOf(CordonHostRequestSchema, body);
      return sendMessage(reply, CordonHostResponseSchema, await hosts.cordonHost(wanted));
    });

    app.post('/v1/host::uncordon', async (request, reply) => {
      new Query(request.query, []);
      return sendMessage(
        reply,
        UncordonHostResponseSchema,
        await hosts.uncordonHost(create(UncordonHostRequestSchema)),
      );
    });
  };
