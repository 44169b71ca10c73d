import { type ImageUse, imageUses } from '../domain/image-uses.ts';
import type { CachedImage } from '../ports/images.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { ImageList, ImageView } from './services.ts';
import { usableDefault } from './usable-default.ts';

export type ImageNeeds = NeedsOf<'images', 'fullName'>;

export type ImageListNeeds = ImageNeeds &
  NeedsOf<'images', 'list'> &
  NeedsOf<'volumes', 'kindFor'> &
  Needs<'ledger' | 'imageCacheMax'> &
  Parameters<typeof usableDefault>[0];

/** What the cache has, used last first, and who uses what. */
export async function listImages(needs: ImageListNeeds): Promise<ImageList> {
  const images = await needs.images.list();
  const uses = imageUses(needs.ledger);
  const { capabilities } = await usableDefault(needs);
  return {
    images: images.map((image) => imageView(needs, image, uses)),
    volumeCopy: needs.volumes.kindFor(capabilities.diskFormats),
    bytes: images.reduce((sum, { bytes }) => sum + bytes, 0),
    maxBytes: needs.imageCacheMax,
  };
}

export function imageView({ images }: ImageNeeds, image: CachedImage, uses: readonly ImageUse[]): ImageView {
  const usedBy = uses
    .filter(({ digest, reference }) =>
      digest === undefined ? image.references.includes(images.fullName(reference)) : digest === image.digest,
    )
    .map(({ owner }) => owner);
  return { ...image, usedBy: [...new Set(usedBy)] };
}
