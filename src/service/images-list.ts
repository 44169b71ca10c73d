import { type ImageUse, imageUses } from '../domain/image-uses.ts';
import type { CachedImage } from '../ports/images.ts';
import type { ServiceContext } from './context.ts';
import type { ImageList, ImageView } from './services.ts';

/** What the cache has, used last first, and who uses what. */
export async function listImages(context: ServiceContext): Promise<ImageList> {
  const images = await context.images.list();
  const uses = imageUses(context.ledger);
  return {
    images: images.map((image) => imageView(context, image, uses)),
    volumeCopy: context.volumes.kindFor(context.defaultVmms[0].capabilities.diskFormats),
    bytes: images.reduce((sum, { bytes }) => sum + bytes, 0),
    maxBytes: context.imageCacheMax,
  };
}

export function imageView(
  { images }: Pick<ServiceContext, 'images'>,
  image: CachedImage,
  uses: readonly ImageUse[],
): ImageView {
  const usedBy = uses
    .filter(({ digest, reference }) =>
      digest === undefined ? image.references.includes(images.fullName(reference)) : digest === image.digest,
    )
    .map(({ owner }) => owner);
  return { ...image, usedBy: [...new Set(usedBy)] };
}
