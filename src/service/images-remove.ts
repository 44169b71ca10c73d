import { Fault } from '../domain/fault.ts';
import { imagesInUse, imageUses } from '../domain/image-uses.ts';
import { shorten } from '../domain/labels.ts';
import { type ImageListNeeds, type ImageNeeds, imageView, listImages } from './images-list.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { ImageView, PrunedImages } from './services.ts';

type PruneNeeds = NeedsOf<'images', 'prune'> & Needs<'ledger'>;
type RemoveNeeds = ImageListNeeds & NeedsOf<'images', 'remove'>;

/** What `image ls` shows of a digest, and more of it. */
const DIGEST_BEGINNING = /^(?:(?:sha256|sha512):)?[a-f0-9]{12,128}$/;

/**
 * Removes one image with its disk images.
 * @param name - a digest, 12 or more hex digits of one, or a reference
 * @throws Fault `not_found`; `refused` naming the microVMs that use it
 */
export async function removeImage(needs: RemoveNeeds, name: string): Promise<ImageView> {
  const { images, ledger } = needs;
  if (name === '')
    throw Fault.invalid([{ field: 'image', description: 'must name an image: a digest or a reference' }]);
  const image = pick(needs, (await listImages(needs)).images, name);
  if (image.usedBy.length > 0) throw inUse(name, image.usedBy);
  const inUseNow = () => imagesInUse(ledger);
  try {
    return { ...(await images.remove(image.digest, inUseNow)), usedBy: [] };
  } catch (error) {
    if (!(error instanceof Fault && error.kind === 'refused')) throw error;
    // A microVM came in between.
    const { usedBy } = imageView(needs, image, imageUses(ledger));
    throw usedBy.length > 0 ? inUse(name, usedBy) : error;
  }
}

function pick(needs: ImageNeeds, all: readonly ImageView[], name: string): ImageView {
  const isDigest = DIGEST_BEGINNING.test(name);
  const full = needs.images.fullName(name);
  const found = all.filter(
    ({ digest, references }) =>
      references.includes(full) ||
      (isDigest && (digest.startsWith(name) || digest.slice('sha256:'.length).startsWith(name))),
  );
  const [one] = found;
  if (!one)
    throw new Fault('not_found', `Image "${shorten(name)}" not found: "flintlock image ls" shows what is on this host`);
  if (found.length > 1) {
    const digests = found.map(({ digest }) => digest).join(', ');
    throw new Fault('refused', `Image "${shorten(name)}" is ambiguous: name one by its digest: ${digests}`);
  }
  return one;
}

const MAX_SHOWN = 10;

function inUse(name: string, usedBy: readonly string[]): Fault {
  const more = usedBy.length > MAX_SHOWN ? ` and ${usedBy.length - MAX_SHOWN} more` : '';
  const who = usedBy.slice(0, MAX_SHOWN).join(', ');
  return new Fault(
    'refused',
    `Cannot remove image "${shorten(name)}": it is used by microVM ${who}${more}; delete what uses it first`,
  );
}

/** Removes every image that nothing uses. */
export async function pruneImages({ images, ledger }: PruneNeeds): Promise<PrunedImages> {
  const removed = await images.prune(() => imagesInUse(ledger), 0);
  return {
    removed: removed.map((image) => ({ ...image, usedBy: [] })),
    freedBytes: removed.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
