import { Code } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { startApi } from '../../test/support/api.ts';
import { SAMPLE_UID, sampleImage, untilAborted } from '../../test/support/fake-services.ts';
import { Fault } from '../domain/fault.ts';
import { ImageService } from '../gen/flintlock/microvm/v1/images_pb.ts';

const wireImage = {
  digest: sampleImage.digest,
  references: ['registry.test/lab/x:v1'],
  sizeBytes: '3000000',
  usedBy: [SAMPLE_UID],
  lastUsedAt: '2023-11-14T22:14:20Z',
  pulledAt: '2023-11-14T22:13:20Z',
  goldens: [{ sizeInMb: 64, sizeBytes: '1000000' }],
};

const POST = { method: 'POST', headers: { 'content-type': 'application/json' } };

test('images are listed, removed and pruned over gRPC', async () => {
  const { client } = await startApi();
  const images = client(ImageService);
  const listed = await images.listImages({});
  expect(listed).toMatchObject({ volumeCopy: 'qcow2', sizeBytes: 3_000_000n, maxBytes: 0n });
  expect(listed.images[0]).toMatchObject({ digest: sampleImage.digest, usedBy: [SAMPLE_UID], sizeBytes: 3_000_000n });
  expect(await images.removeImage({ image: sampleImage.digest })).toMatchObject({ freedBytes: 3_000_000n });
  await expect(images.removeImage({ image: 'other:v1' })).rejects.toMatchObject({ code: Code.NotFound });
  expect(await images.pruneImages({})).toMatchObject({ freedBytes: 3_000_000n });
});

test('a pull over gRPC tells its progress, then the image', async () => {
  const asked: object[] = [];
  const { client } = await startApi({
    async *pullImage(request) {
      asked.push(request);
      yield { step: 'pull', doneBytes: 10, totalBytes: 100 };
      yield { step: 'golden', doneBytes: 100, totalBytes: 100 };
      yield { step: 'done', doneBytes: 100, totalBytes: 100, image: sampleImage, remark: 'as last seen' };
    },
  });
  const news = [];
  for await (const one of client(ImageService).pullImage({ reference: 'x:v1', goldenSizeInMb: 64 })) news.push(one);
  expect(news.map(({ step, doneBytes }) => [step, doneBytes])).toEqual([
    ['pull', 10n],
    ['golden', 100n],
    ['done', 100n],
  ]);
  expect(news.at(-1)).toMatchObject({ image: { digest: sampleImage.digest }, remark: 'as last seen' });
  expect(asked).toEqual([{ reference: 'x:v1', goldenSizeInMb: 64 }]);
});

test('a caller that leaves ends its pull', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const { client } = await startApi({
    async *pullImage(_request, signal) {
      yield { step: 'pull', doneBytes: 0, totalBytes: 0 };
      await untilAborted(signal).finally(resolve);
    },
  });
  const leave = new AbortController();
  await expect(
    (async () => {
      for await (const _ of client(ImageService).pullImage({ reference: 'x' }, { signal: leave.signal })) leave.abort();
    })(),
  ).rejects.toMatchObject({ code: Code.Canceled });
  await ended;
});

test('images over HTTP', async () => {
  const { fetch } = await startApi();
  expect(await (await fetch('/v1/images')).json()).toEqual({
    images: [wireImage],
    volumeCopy: 'qcow2',
    sizeBytes: '3000000',
    maxBytes: '0',
    nextPageToken: '',
  });
  const pulled = await fetch('/v1/images', { ...POST, body: '{"reference":"x:v1"}' });
  expect(pulled.status).toBe(200);
  expect(pulled.headers.get('content-type')).toBe('application/x-ndjson');
  const lines = (await pulled.text()).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line).step)).toEqual(['pull', 'done']);
  expect(JSON.parse(lines.at(-1) ?? '').image.references).toEqual(['x:v1']);

  const gone = await fetch(`/v1/images/${sampleImage.digest}`, { method: 'DELETE' });
  expect(await gone.json()).toMatchObject({ freedBytes: '3000000', removed: { digest: sampleImage.digest } });
  const byName = await fetch('/v1/images?image=registry.test/lab/x:v1', { method: 'DELETE' });
  expect(byName.status).toBe(200);
  expect((await fetch('/v1/images?image=none:v1', { method: 'DELETE' })).status).toBe(404);
  expect((await fetch('/v1/images', { method: 'DELETE' })).status).toBe(400);
  const pruned = await fetch('/v1/images:prune', { method: 'POST' });
  expect(await pruned.json()).toMatchObject({ freedBytes: '3000000' });
  expect((await fetch('/v1/images:burn', { method: 'POST' })).status).toBe(404);
  expect((await fetch('/v1/images', { ...POST, body: '{"name":"x"}' })).status).toBe(400);
});

test('a pull that fails before its first news is a plain error, later it is the last line', async () => {
  let isLate = false;
  const { fetch } = await startApi({
    async *pullImage() {
      if (isLate) yield { step: 'pull', doneBytes: 1, totalBytes: 2 };
      throw new Fault('not_found', 'Image "x" not found', { reason: 'ImageNotFound' });
    },
  });
  const pull = () => fetch('/v1/images', { ...POST, body: '{"reference":"x:v1"}' });
  expect((await pull()).status).toBe(404);
  isLate = true;
  const answer = await pull();
  expect(answer.status).toBe(200);
  const [first = '', last = ''] = (await answer.text()).trim().split('\n');
  expect(JSON.parse(first)).toMatchObject({ doneBytes: '1' });
  expect(JSON.parse(last)).toMatchObject({ error: { code: Code.NotFound, message: 'Image "x" not found' } });
});
