import { create, toBinary } from '@bufbuild/protobuf';
import { ListMessageSchema, type MicroVM } from '../../gen/dropin/services/microvms_pb.ts';
import type { Services } from '../../service/services.ts';
import { encodedBy, weightOfEncoded } from '../flow/encoded.ts';
import { pages } from '../flow/listed.ts';
import type { Encoded } from '../served.ts';
import { everyOne, filterOf, whole } from './lists.ts';
import { vmToWire } from './to-wire.ts';

/** As the native surface's: `microvm` has the tag 1 in every answer here, too. */
export function encodedLists(services: Services): Encoded<typeof MicroVM> {
  const list = services.listIn(
    encodedBy((vm) => toBinary(ListMessageSchema, create(ListMessageSchema, { microvm: vmToWire(vm) }))),
  );
  return {
    listMicroVMs: async (request) => whole(await list(everyOne(request))),
    listMicroVMsStream: (request, call) =>
      pages({ list, weigh: weightOfEncoded }, { ...filterOf(request), pageToken: '' }, 0, call),
  };
}
