import { create, toBinary } from '@bufbuild/protobuf';
import {
  ListMessageSchema,
  type ListMicroVMsRequest,
  ListMicroVMsResponseSchema,
  type MicroVMService,
} from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { ListRequest, Services } from '../../service/services.ts';
import { encodedBy, weightOfEncoded } from '../flow/encoded.ts';
import { ANSWER_BYTES } from '../flow/limits.ts';
import { pages } from '../flow/listed.ts';
import type { Encoded } from '../served.ts';
import { vmToWire } from './to-wire.ts';

/**
 * The lists as bytes: those of a microVM are made once for as long as it is the same. They are those of a ListMessage;
 * since `microvm` has the tag 1 in every answer, many of them in a row are a ListMicroVMsResponse, too.
 */
export function encodedLists(services: Services): Encoded<typeof MicroVMService> {
  const list = services.listIn(
    encodedBy((vm) => toBinary(ListMessageSchema, create(ListMessageSchema, { microvm: vmToWire(vm) }))),
  );
  return {
    listMicroVMs: async (request) => {
      const { vms, nextPageToken } = await list({ ...wantedOf(request), maxBytes: ANSWER_BYTES });
      const rest = toBinary(ListMicroVMsResponseSchema, create(ListMicroVMsResponseSchema, { nextPageToken }));
      return [...vms, rest];
    },
    listMicroVMsStream: ({ pageSize: most, ...request }, call) =>
      pages({ list, weigh: weightOfEncoded }, wantedOf({ ...request, pageSize: 0 }), most, call),
  };
}

const wantedOf = ({
  namespace,
  labelSelector,
  showDeleted,
  pageToken,
  pageSize,
}: Omit<ListMicroVMsRequest, '$typeName'>): ListRequest => ({
  ...{ namespace, labelSelector, showDeleted, pageToken, pageSize },
});
