import { create } from '@bufbuild/protobuf';
import type { FastifyRequest } from 'fastify';
import { Fault } from '../../domain/fault.ts';
import {
  ListImagesRequestSchema,
  ListImagesResponseSchema,
  PruneImagesRequestSchema,
  PruneImagesResponseSchema,
  PullImageRequestSchema,
  type PullImageResponse,
  PullImageResponseSchema,
  RemoveImageRequestSchema,
  RemoveImageResponseSchema,
} from '../../gen/flintlock/microvm/v1/images_pb.ts';
import { wireError } from '../status.ts';
import { callOf } from './call-signal.ts';
import { errorJson, jsonOf, messageOf, sendMessage } from './json.ts';
import { Query } from './query.ts';
import type { RouteOptions } from './routes.ts';
import { LIST, type Routes, STREAM } from './server.ts';
import { sendStream } from './stream.ts';

const ALL = '/v1/images';

/**
 * ImageService over HTTP. A pull answers with one PullImageResponse a line
 * (newline-delimited JSON), the last one with the image or with `error`. A
 * reference has slashes, so an image to remove is named by the query.
 */
export const imageRoutes =
  ({ native: { images }, log, stopped, flows }: RouteOptions): Routes =>
  (app) => {
    app.get(ALL, LIST, async (request, reply) => {
      const query = new Query(request.query, ['pageSize', 'pageToken']);
      const page = { pageSize: query.count('pageSize'), pageToken: query.text('pageToken') };
      return sendMessage(
        reply,
        ListImagesResponseSchema,
        await images.listImages(create(ListImagesRequestSchema, page)),
      );
    });

    app.post(ALL, STREAM, async (request, reply) => {
      new Query(request.query, []);
      const wanted = messageOf(PullImageRequestSchema, request.body);
      const call = callOf(reply, { stopped, flows });
      const news = images.pullImage(wanted, call);
      const farewell = (error: unknown): string => `{"error":${errorJson(wireError(error, log, call.signal))}}\n`;
      await sendStream(reply, lines(news), { contentType: 'application/x-ndjson', ...call, farewell });
      return reply;
    });

    // Two colons: one would begin a parameter.
    app.post(`${ALL}::prune`, async (request, reply) => {
      new Query(request.query, []);
      return sendMessage(reply, PruneImagesResponseSchema, await images.pruneImages(create(PruneImagesRequestSchema)));
    });

    const remove = async (request: FastifyRequest): Promise<string> => {
      const { digest } = request.params as { digest?: string };
      if (digest !== undefined) {
        new Query(request.query, []);
        return digest;
      }
      const image = new Query(request.query, ['image']).text('image');
      if (image === '')
        throw Fault.invalid([{ field: 'image', description: 'must name an image: ?image=DIGEST or ?image=REFERENCE' }]);
      return image;
    };
    for (const path of [ALL, `${ALL}/:digest`])
      app.delete(path, async (request, reply) => {
        const wanted = create(RemoveImageRequestSchema, { image: await remove(request) });
        const { freedBytes, removed } = await images.removeImage(wanted);
        return sendMessage(
          reply,
          RemoveImageResponseSchema,
          create(RemoveImageResponseSchema, { freedBytes, removed }),
        );
      });
  };

async function* lines(news: AsyncIterable<PullImageResponse>): AsyncGenerator<string> {
  for await (const one of news) yield `${jsonOf(PullImageResponseSchema, one)}\n`;
}
