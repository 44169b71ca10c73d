import type { MicroVmView } from '../../domain/microvm.ts';
import { weightOf } from '../../domain/weight.ts';
import { NO_BOUND, PAGE, type Room } from '../../service/answer-room.ts';
import type { ListRequest, Services } from '../../service/services.ts';

/**
 * Records one by one, read by small pages and only when there is room for
 * them: a long list takes no more memory than a short one, whoever reads it.
 *
 * @param most - 0: all
 */
export async function* listed(
  services: Pick<Services, 'list'>,
  { pageToken: begin, ...wanted }: Omit<ListRequest, 'pageSize' | 'maxBytes'>,
  most: number,
  { signal, room = NO_BOUND }: { readonly signal: AbortSignal; readonly room?: Room },
): AsyncGenerator<MicroVmView> {
  let left = most;
  let pageToken = begin;
  do {
    signal.throwIfAborted();
    await room.next(signal);
    const pageSize = most === 0 ? PAGE.limit : Math.min(left, PAGE.limit);
    const page = await services.list({ ...wanted, pageSize, pageToken, maxBytes: PAGE.maxBytes });
    room.holds(weightOf(page.vms));
    left -= page.vms.length;
    pageToken = page.nextPageToken;
    yield* page.vms;
  } while (pageToken !== '' && (most === 0 || left > 0));
}
