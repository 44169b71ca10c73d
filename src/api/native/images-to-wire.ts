import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Fault } from '../../domain/fault.ts';
import {
  type Image,
  ImageSchema,
  type ListImagesResponse,
  ListImagesResponseSchema,
  type PruneImagesResponse,
  PruneImagesResponseSchema,
  type PullImageResponse,
  PullImageResponseSchema,
} from '../../gen/flintlock/microvm/v1/images_pb.ts';
import type { ImageList, ImageView, PrunedImages, PullNews } from '../../service/services.ts';
import { AnswerRoom } from '../flow/fitting.ts';
import { int32, int64 } from '../numbers.ts';

export const imageToWire = (image: ImageView): Image =>
  create(ImageSchema, {
    digest: image.digest,
    references: [...image.references],
    sizeBytes: int64(image.bytes),
    usedBy: [...image.usedBy],
    lastUsedAt: timestampFromMs(image.lastUsedAt),
    pulledAt: timestampFromMs(image.pulledAt),
    goldens: image.goldens.map(({ sizeInMb, bytes }) => ({ sizeInMb: int32(sizeInMb), sizeBytes: int64(bytes) })),
  });

/**
 * A page of them. The token of the next is the digest of the last.
 * @throws Fault `expired` when that image has gone meanwhile
 */
export function imagesToWire(
  { images, volumeCopy, bytes, maxBytes }: ImageList,
  { pageSize, pageToken }: { readonly pageSize: number; readonly pageToken: string },
): ListImagesResponse {
  if (pageSize < 0) throw Fault.invalid([{ field: 'page_size', description: 'must be 0 (as many as fit) or more' }]);
  const before = images.findIndex(({ digest }) => digest === pageToken);
  if (pageToken !== '' && before < 0)
    throw new Fault('expired', 'The image that the page before ended with is not there any more: list again');
  const left = images.slice(before + 1);
  const wanted = pageSize > 0 ? left.slice(0, pageSize) : left;
  const page = new AnswerRoom().fitting(ImageSchema, wanted.map(imageToWire));
  return create(ListImagesResponseSchema, {
    images: page,
    volumeCopy,
    sizeBytes: int64(bytes),
    maxBytes: int64(maxBytes),
    nextPageToken: page.length < left.length ? (page.at(-1)?.digest ?? '') : '',
  });
}

export const pullNewsToWire = ({
  step,
  doneBytes,
  totalBytes,
  image,
  remark = '',
  lookUpMs,
}: PullNews): PullImageResponse =>
  create(PullImageResponseSchema, {
    step,
    doneBytes: int64(doneBytes),
    totalBytes: int64(totalBytes),
    remark,
    ...(image && { image: imageToWire(image) }),
    ...(lookUpMs !== undefined && { lookUp: durationFromMs(Math.round(lookUpMs)) }),
  });

export function prunedToWire({ removed, freedBytes }: PrunedImages): PruneImagesResponse {
  const told = new AnswerRoom().fitting(ImageSchema, removed.map(imageToWire));
  const omitted = int32(removed.length - told.length);
  return create(PruneImagesResponseSchema, { removed: told, freedBytes: int64(freedBytes), omitted });
}
