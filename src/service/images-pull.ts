import { Fault, type Violation } from '../domain/fault.ts';
import { imageUses } from '../domain/image-uses.ts';
import { Changes } from './changes.ts';
import { imageView } from './images-list.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { PullNews } from './services.ts';

type PullNeeds = NeedsOf<'images', 'check' | 'pull' | 'fullName'> & Needs<'ledger'>;

/** ext4 with blocks of 4 KiB and without the feature 64bit: 16 TiB. */
const MAX_GOLDEN_MB = 16 << 20;

/**
 * Pulls an image ahead of time and tells how far it is; the last news has the
 * image. The pull goes on for others when this caller leaves, and ends when
 * it was the only one.
 *
 * @throws Fault `invalid`; what {@link Images} throws
 */
export async function* pullImage(
  needs: PullNeeds,
  { reference, goldenSizeInMb }: { readonly reference: string; readonly goldenSizeInMb?: number },
  signal: AbortSignal,
): AsyncIterable<PullNews> {
  const { images, ledger } = needs;
  const wrong: Violation[] = [];
  const description = await images.check(reference);
  if (description !== undefined) wrong.push({ field: 'reference', description });
  if (goldenSizeInMb !== undefined && (goldenSizeInMb < 1 || goldenSizeInMb > MAX_GOLDEN_MB))
    wrong.push({ field: 'golden_size_in_mb', description: `must be from 1 to ${MAX_GOLDEN_MB} (MiB)` });
  if (wrong.length > 0) throw Fault.invalid(wrong);

  const left = new AbortController();
  let news: PullNews = { step: 'pull', doneBytes: 0, totalBytes: 0 };
  let isOver = false;
  let touch = (): void => undefined;
  const tell = (next: PullNews): void => {
    news = next;
    touch();
  };
  using changes = new Changes((listener) => {
    touch = listener;
    return () => undefined;
  });
  const pulling = images
    .pull(reference, {
      signal: AbortSignal.any([signal, left.signal]),
      onBytes: (doneBytes, totalBytes) => tell({ step: 'pull', doneBytes, totalBytes }),
      ...(goldenSizeInMb !== undefined && { goldenSizeInMb }),
      onGolden: () => tell({ ...news, step: 'golden' }),
    })
    .finally(() => {
      isOver = true;
      touch();
    });
  pulling.catch(() => undefined); // told below, unless the reader has left
  try {
    for (;;) {
      if (isOver) break;
      yield news;
      if (isOver) break;
      await changes.next(signal);
    }
    const { image, remark, took } = await pulling;
    const view = imageView(needs, image, imageUses(ledger));
    yield {
      ...{ ...news, step: 'done', image: view },
      ...(remark !== undefined && { remark }),
      ...(took?.lookUpMs !== undefined && { lookUpMs: took.lookUpMs }),
    };
  } finally {
    left.abort(new Fault('cancelled', 'nobody waits for the pull any more'));
  }
}
