import { create } from '@bufbuild/protobuf';
import { Fault } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import { GetMicroVMRequestSchema } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { Native } from '../native/services.ts';

/** What a path names: a uid, or namespace and id. */
export type Named = { uid: string } | { namespace: string; id: string };

/** @throws Fault `not_found` */
export async function uidOf({ microvms }: Pick<Native, 'microvms'>, named: Named): Promise<string> {
  if ('uid' in named) return named.uid;
  const { microvm } = await microvms.getMicroVM(create(GetMicroVMRequestSchema, named));
  return microvm.spec?.uid ?? '';
}

/** The uid may stand in the body too, but not as another. @throws Fault `invalid` */
export function agreeOnUid(field: string, inBody: string, uid: string): void {
  if (inBody === '' || inBody === uid) return;
  const description = `is "${shorten(inBody)}" in the body and ${shorten(uid)} by the path; leave it out of the body`;
  throw Fault.invalid([{ field, description }]);
}
