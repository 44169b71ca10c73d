import { create } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Fault } from '../../domain/fault.ts';
import {
  CreateMicroVMRequestSchema,
  CreateMicroVMResponseSchema,
  DeleteMicroVMRequestSchema,
  GetMicroVMRequestSchema,
  GetMicroVMResponseSchema,
  ListMicroVMsRequestSchema,
  ListMicroVMsResponseSchema,
} from '../../gen/dropin/services/microvms_pb.ts';
import { MicroVMSpecSchema } from '../../gen/dropin/types/microvm_pb.ts';
import type { Dropin } from '../dropin/services.ts';
import { messageOf, sendMessage } from './json.ts';
import { Query } from './query.ts';
import { LIST, type Routes } from './server.ts';

const ALL = '/v1alpha1/microvm';
/** A uid, or a namespace: the two patterns are one as published. */
const ONE = `${ALL}/:name`;
/** How a uid is written: a ULID. */
const UID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

const nameOf = (request: FastifyRequest): string => (request.params as { name: string }).name;

/** The drop-in surface over HTTP, as its gateway publishes it: every answer is 200, a body's type is not looked at. */
export const dropinRoutes =
  ({ microvms }: Dropin): Routes =>
  (app) =>
    void app.register(async (own) => {
      own.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));

      own.post(ALL, async (request, reply) => {
        new Query(request.query, []);
        const microvm = messageOf(MicroVMSpecSchema, request.body);
        const created = await microvms.createMicroVM(create(CreateMicroVMRequestSchema, { microvm }));
        return sendMessage(reply, CreateMicroVMResponseSchema, created);
      });

      const list = async (reply: FastifyReply, namespace: string, name: string): Promise<FastifyReply> => {
        const found = await microvms.listMicroVMs(create(ListMicroVMsRequestSchema, { namespace, name }));
        return sendMessage(reply, ListMicroVMsResponseSchema, found);
      };
      own.get(ALL, LIST, async (request, reply) => {
        const query = new Query(request.query, ['namespace', 'name']);
        return list(reply, query.text('namespace'), query.text('name'));
      });

      own.get(ONE, LIST, async (request, reply) => {
        const id = new Query(request.query, ['name']).text('name');
        const name = nameOf(request);
        if (id !== '' || !(UID.test(name) || name.includes('/'))) return list(reply, name, id);
        try {
          const found = await microvms.getMicroVM(create(GetMicroVMRequestSchema, { uid: name }));
          return sendMessage(reply, GetMicroVMResponseSchema, found);
        } catch (error) {
          if (!(error instanceof Fault) || error.kind !== 'not_found' || name.includes('/')) throw error;
          // A namespace may be called like a uid; where none is, whoever asks for a microVM must not read "none" as 200.
          const inNamespace = await microvms
            .listMicroVMs(create(ListMicroVMsRequestSchema, { namespace: name }))
            .catch((refused: unknown) => {
              throw refused instanceof Fault && refused.kind === 'denied' ? error : refused;
            });
          if (inNamespace.microvm.length === 0) throw error;
          return sendMessage(reply, ListMicroVMsResponseSchema, inNamespace);
        }
      });

      own.delete(ONE, async (request, reply) => {
        new Query(request.query, []);
        await microvms.deleteMicroVM(create(DeleteMicroVMRequestSchema, { uid: nameOf(request) }));
        return sendMessage(reply, EmptySchema, {});
      });
    });
