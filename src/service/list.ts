import { Fault } from '../domain/fault.ts';
import type { MicroVmView, Uid } from '../domain/microvm.ts';
import { parseSelector } from '../domain/selector.ts';
import type { NeedsOf } from './needs.ts';
import type { ListRequest } from './services.ts';
import { ifReadable, type ViewNeeds, view } from './view.ts';

type ListNeeds = ViewNeeds & NeedsOf<'store', 'list'>;

/** A page of microVMs, oldest first. The token of the next page is the last uid of this one: uids sort by creation. */
export function list(
  needs: ListNeeds,
  request: ListRequest,
): { readonly vms: readonly MicroVmView[]; readonly nextPageToken: string } {
  const { pageSize, pageToken, maxBytes } = request;
  if (pageSize < 0) throw Fault.invalid([{ field: 'page_size', description: 'must be 0 (all) or more' }]);
  if (pageToken !== '' && !/^[0-9A-Z]{26}$/.test(pageToken))
    throw Fault.invalid([{ field: 'page_token', description: 'is no next_page_token of an earlier page' }]);
  const query = {
    selector: parseSelector(request.labelSelector),
    gone: request.showDeleted,
    ...(request.id !== undefined && { id: request.id }),
    ...(request.namespace !== '' && { namespace: request.namespace }),
    ...(pageToken !== '' && { after: pageToken as Uid }),
  };
  const page = needs.store.list({
    ...query,
    ...(pageSize > 0 && { limit: pageSize }),
    ...(maxBytes !== undefined && { maxBytes }),
  });
  const last = page.at(-1)?.uid;
  const mayBeCut = page.length === pageSize || maxBytes !== undefined;
  const isCut = last !== undefined && mayBeCut && needs.store.list({ ...query, after: last, limit: 1 }).length > 0;
  return { vms: page.flatMap((vm) => ifReadable(() => view(vm, needs))), nextPageToken: isCut ? last : '' };
}
