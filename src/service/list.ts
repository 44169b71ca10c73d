import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { parseSelector } from '../domain/selector.ts';
import type { Store } from '../ports/store.ts';
import type { Listed, ListRequest } from './services.ts';
import type { Show } from './shown.ts';

/** A page of microVMs, oldest first. The token of the next page is the last uid of this one: uids sort by creation. */
export function list<T>(store: Pick<Store, 'rows'>, request: ListRequest, show: Show<T>): Listed<T> {
  const { pageSize, pageToken, maxBytes = Number.POSITIVE_INFINITY } = request;
  if (pageSize < 0) throw Fault.invalid([{ field: 'page_size', description: 'must be 0 (all) or more' }]);
  if (pageToken !== '' && !/^[0-9A-Z]{26}$/.test(pageToken))
    throw Fault.invalid([{ field: 'page_token', description: 'is no next_page_token of an earlier page' }]);
  const rows = store.rows({
    selector: parseSelector(request.labelSelector),
    gone: request.showDeleted,
    ...(request.id !== undefined && { id: request.id }),
    ...(request.namespace !== '' && { namespace: request.namespace }),
    ...(pageToken !== '' && { after: pageToken as Uid }),
  });
  const vms: T[] = [];
  let last = '';
  let count = 0;
  let bytes = 0;
  for (const row of rows) {
    const one = show(row);
    if (!one) continue; // it hides no other, and is no end of a page
    bytes += row.bytes + one.metadataBytes;
    const isFull = pageSize > 0 && count === pageSize;
    if (count > 0 && (isFull || bytes > maxBytes)) return { vms, nextPageToken: last };
    for (const made of one.made) vms.push(made);
    last = row.uid;
    count++;
  }
  return { vms, nextPageToken: '' };
}
