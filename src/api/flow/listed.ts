import type { MicroVmView } from '../../domain/microvm.ts';
import { weightOf } from '../../domain/weight.ts';
import { NO_BOUND, PAGE, type Room } from '../../service/answer-room.ts';
import type { Listed, ListRequest, Services } from '../../service/services.ts';

type Wanted = Omit<ListRequest, 'pageSize' | 'maxBytes'>;

/** Whose list it is: when it ends, and where what it reads has room. */
interface Reader {
  readonly signal: AbortSignal;
  readonly room?: Room;
}

/** Lists page by page, in some form. */
interface Source<T> {
  list(request: ListRequest): Promise<Listed<T>>;
  /** How many bytes a page takes until it is sent. */
  weigh(vms: readonly T[]): number;
}

/**
 * Records, read by small pages and only when there is room for them: a long
 * list takes no more memory than a short one, whoever reads it.
 *
 * @param most - 0: all
 */
export async function* pages<T>(
  { list, weigh }: Source<T>,
  { pageToken: begin, ...wanted }: Wanted,
  most: number,
  { signal, room = NO_BOUND }: Reader,
): AsyncGenerator<readonly T[]> {
  let left = most;
  let pageToken = begin;
  do {
    signal.throwIfAborted();
    await room.next(signal);
    const pageSize = most === 0 ? PAGE.limit : Math.min(left, PAGE.limit);
    const page = await list({ ...wanted, pageSize, pageToken, maxBytes: PAGE.maxBytes });
    room.holds(weigh(page.vms));
    left -= page.vms.length;
    pageToken = page.nextPageToken;
    yield page.vms;
  } while (pageToken !== '' && (most === 0 || left > 0));
}

/** The same one by one. */
export async function* listed(
  services: Pick<Services, 'list'>,
  wanted: Wanted,
  most: number,
  reader: Reader,
): AsyncGenerator<MicroVmView> {
  const source: Source<MicroVmView> = { list: (request) => services.list(request), weigh: weightOf };
  for await (const page of pages(source, wanted, most, reader)) yield* page;
}
