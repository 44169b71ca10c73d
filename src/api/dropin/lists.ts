import { Fault } from '../../domain/fault.ts';
import type { ListMicroVMsRequest } from '../../gen/dropin/services/microvms_pb.ts';
import type { Listed, ListRequest } from '../../service/services.ts';
import { ANSWER_BYTES } from '../flow/limits.ts';

type Wanted = Pick<ListMicroVMsRequest, 'namespace' | 'name'>;

export const filterOf = ({ namespace, name = '' }: Wanted) => ({
  namespace,
  ...(name !== '' && { id: name }),
  labelSelector: '',
  showDeleted: false,
});

/** All of them in one answer. */
export const everyOne = (request: Wanted): ListRequest => ({
  ...filterOf(request),
  ...{ pageSize: 0, pageToken: '', maxBytes: ANSWER_BYTES },
});

/** This API has no pages, and a list that is cut would look like a whole one. @throws Fault `full` */
export function whole<T>({ vms, nextPageToken }: Listed<T>): readonly T[] {
  if (nextPageToken === '') return vms;
  throw new Fault(
    'full',
    'Cannot list the microVMs in one answer: they are more than the 4 MiB that gRPC clients take; call ListMicroVMsStream, name a namespace, or over HTTP read GET /v1/microvms by pages',
  );
}
