import type {
  Image,
  ListImagesRequest,
  ListImagesResponse,
  PruneImagesRequest,
  PruneImagesResponse,
  PullImageRequest,
  PullImageResponse,
  RemoveImageRequest,
} from '../../gen/flintlock/microvm/v1/images_pb.ts';
import type { Services } from '../../service/services.ts';
import { eachUntil } from '../each-until.ts';
import { int64 } from '../numbers.ts';
import type { Call } from '../served.ts';
import { imagesToWire, imageToWire, prunedToWire, pullNewsToWire } from './images-to-wire.ts';

/** The verbs of ImageService. */
export class Images {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async listImages(request: ListImagesRequest): Promise<ListImagesResponse> {
    return imagesToWire(await this.#services.listImages(), request);
  }

  async *pullImage(
    { reference, goldenSizeInMb }: PullImageRequest,
    { signal }: Call,
  ): AsyncGenerator<PullImageResponse> {
    const request = { reference, ...(goldenSizeInMb !== undefined && { goldenSizeInMb }) };
    for await (const news of eachUntil(signal, this.#services.pullImage(request, signal))) yield pullNewsToWire(news);
  }

  async removeImage({ image }: RemoveImageRequest): Promise<{ freedBytes: bigint; removed: Image }> {
    const removed = await this.#services.removeImage(image);
    return { freedBytes: int64(removed.bytes), removed: imageToWire(removed) };
  }

  async pruneImages(_request: PruneImagesRequest): Promise<PruneImagesResponse> {
    return prunedToWire(await this.#services.pruneImages());
  }
}
