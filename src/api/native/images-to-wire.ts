import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
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

export const imagesToWire = ({ images, volumeCopy, bytes, maxBytes }: ImageList): ListImagesResponse =>
  create(ListImagesResponseSchema, {
    images: images.map(imageToWire),
    volumeCopy,
    sizeBytes: int64(bytes),
    maxBytes: int64(maxBytes),
  });

export const pullNewsToWire = ({ step, doneBytes, totalBytes, image, remark = '' }: PullNews): PullImageResponse =>
  create(PullImageResponseSchema, {
    step,
    doneBytes: int64(doneBytes),
    totalBytes: int64(totalBytes),
    remark,
    ...(image && { image: imageToWire(image) }),
  });

export const prunedToWire = ({ removed, freedBytes }: PrunedImages): PruneImagesResponse =>
  create(PruneImagesResponseSchema, { removed: removed.map(imageToWire), freedBytes: int64(freedBytes) });
