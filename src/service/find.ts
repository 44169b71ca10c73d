import { Fault } from '../domain/fault.ts';
import { shorten } from '../domain/labels.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import type { Store } from '../ports/store.ts';
import type { Target } from './services.ts';

/**
 * The microVM that a request names.
 * @throws Fault `not_found`; `refused` when the name is that of several; `invalid` when nothing is named
 */
export function find(store: Pick<Store, 'find' | 'get'>, { uid, namespace, id }: Target, gone: boolean): MicroVm {
  if (uid) return byUid(store, uid, gone);
  if (!id)
    throw Fault.invalid([
      { field: 'uid', description: 'is required, or id and namespace: microVM not found without a name' },
    ]);
  const where = namespace || 'default';
  const found = store.find(where, id, gone);
  const live = found.filter((vm) => vm.goneAt === undefined);
  if (live.length > 1)
    throw new Fault(
      'refused',
      `microVM ${shorten(where)}/${shorten(id)} is ambiguous: name one by uid: ${live.map((vm) => vm.uid).join(', ')}`,
    );
  const one = live[0] ?? found.at(-1);
  if (!one) throw notFound({ namespace: where, id });
  return one;
}

/** What is said of one that is not there, in the same words wherever it is not. */
export const notFound = ({ uid, namespace, id = '' }: Target): Fault =>
  new Fault(
    'not_found',
    uid
      ? `microVM with uid ${shorten(uid)} not found`
      : `microVM ${shorten(namespace || 'default')}/${shorten(id)} not found`,
  );

export function byUid(store: Pick<Store, 'get'>, uid: string, gone: boolean): MicroVm {
  const vm = store.get(uid as Uid); // any text may be asked for: it is bound, and not found
  if (!vm || (vm.goneAt !== undefined && !gone)) throw notFound({ uid });
  return vm;
}
