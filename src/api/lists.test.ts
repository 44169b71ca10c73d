import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { startApi, type TestApi } from '../../test/support/api.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { SAMPLE_UID, sampleImage } from '../../test/support/fake-services.ts';
import {
  ListMicroVMsResponseSchema as TodayResponseSchema,
  MicroVM as TodayService,
} from '../gen/dropin/services/microvms_pb.ts';
import { AuditResponseSchema } from '../gen/flintlock/microvm/v1/host_pb.ts';
import {
  ListImagesRequestSchema,
  ListImagesResponseSchema,
  PruneImagesResponseSchema,
} from '../gen/flintlock/microvm/v1/images_pb.ts';
import {
  ListMicroVMsRequestSchema,
  ListMicroVMsResponseSchema,
  MicroVMService,
} from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { formatEndpoint } from './endpoint.ts';

const MAX_ANSWER = 4 << 20;
const idsOf = (vms: readonly { readonly spec?: { readonly id: string } | undefined }[]): string[] =>
  vms.map(({ spec }) => spec?.id ?? '');
const named = (count: number): string[] => Array.from({ length: count }, (_, i) => `vm${i}`);

/** So many, with so many bytes of metadata each; nothing is made of them. */
async function apiOver(count: number, bytes: number): Promise<TestApi> {
  const host = new FakeHost({ look: () => async () => undefined });
  const metadata = { 'user-data': Buffer.alloc(bytes, 'é').toString('base64') };
  for (let i = 0; i < count; i++) await host.create({ id: `vm${i}`, metadata });
  return await startApi(host.life.services);
}

/** By another maker's client, with the limit that it has by default. */
function caller(api: TestApi): (path: string, request: Uint8Array) => Promise<Buffer> {
  const client = new grpc.Client(formatEndpoint(api.grpc), grpc.credentials.createInsecure());
  onTestFinished(() => client.close());
  const bytes = (message: Uint8Array): Buffer => Buffer.from(message);
  return (path, request) =>
    new Promise((done, fail) => {
      client.makeUnaryRequest(path, bytes, bytes, request, (error, answer) =>
        error || !answer ? fail(error) : done(answer),
      );
    });
}

test.each([
  ['as the field has them', 60, 75_000, 0],
  ['short ones, and pages of a size', 25, 10, 10],
  ['long ones, and pages larger than an answer', 9, 1_000_000, 100],
])('pages of the native list end before what gRPC clients take: %s', async (_name, count, bytes, pageSize) => {
  const api = await apiOver(count, bytes);
  const call = caller(api);
  const found: string[] = [];
  let pages = 0;
  for (let pageToken: string | undefined = ''; pageToken !== undefined; pages++) {
    const request = toBinary(ListMicroVMsRequestSchema, create(ListMicroVMsRequestSchema, { pageSize, pageToken }));
    const answer = await call('/flintlock.microvm.v1.MicroVMService/ListMicroVMs', request);
    expect(answer.length).toBeLessThan(MAX_ANSWER);
    const { microvm, nextPageToken } = fromBinary(ListMicroVMsResponseSchema, answer);
    if (pageSize > 0) expect(microvm.length).toBeLessThanOrEqual(pageSize);
    found.push(...idsOf(microvm));
    pageToken = nextPageToken === '' ? undefined : nextPageToken;
  }
  expect(found).toEqual(named(count));
  expect(pages).toBeLessThanOrEqual(
    Math.ceil((count * (bytes * 1.4 + 2_000)) / 2e6) + (pageSize > 0 ? count / pageSize : 0) + 1,
  );
  const streamed: string[] = [];
  for await (const { microvm } of api.client(MicroVMService).listMicroVMsStream({ pageSize }))
    streamed.push(microvm?.spec?.id ?? '');
  expect(streamed).toEqual(named(pageSize === 0 ? count : Math.min(count, pageSize)));
});

test('over HTTP pages end there, too', async () => {
  const api = await apiOver(60, 75_000);
  const found: string[] = [];
  for (let token: string | undefined = ''; token !== undefined; ) {
    const answer = await api.fetch(`/v1/microvms?pageToken=${token}`);
    const text = await answer.text();
    expect(text.length).toBeLessThan(MAX_ANSWER);
    const page = JSON.parse(text) as { microvm: { spec: { id: string } }[]; nextPageToken: string };
    found.push(...idsOf(page.microvm));
    token = page.nextPageToken || undefined;
  }
  expect(found).toEqual(named(60));
});

test('the list that has no pages says by which call there are all of them', async () => {
  const api = await apiOver(60, 75_000);
  const call = caller(api);
  const list = '/microvm.services.api.v1alpha1.MicroVM/ListMicroVMs';
  await expect(call(list, new Uint8Array())).rejects.toMatchObject({
    code: grpc.status.RESOURCE_EXHAUSTED,
    details: expect.stringContaining('call ListMicroVMsStream'),
  });
  const answer = await api.fetch('/v1alpha1/microvm');
  expect([answer.status, await answer.json()]).toEqual([
    429,
    { code: 8, message: expect.stringContaining('GET /v1/microvms'), details: [] },
  ]);
  const streamed: string[] = [];
  for await (const { microvm } of api.client(TodayService).listMicroVMsStream({}))
    streamed.push(microvm?.spec?.id ?? '');
  expect(streamed).toEqual(named(60));
  // What fits is told as ever.
  const few = await apiOver(20, 75_000);
  const fitting = fromBinary(TodayResponseSchema, await caller(few)(list, new Uint8Array()));
  expect(idsOf(fitting.microvm)).toEqual(named(20));
});

test('images and what an audit found end before it, too; what is wrong is told first', async () => {
  const image = (i: number) => ({
    ...sampleImage,
    digest: `sha256:${String(i).padStart(64, '0')}`,
    references: Array.from({ length: 40 }, (_, k) => `registry.test/lab/image-${i}:${'v'.repeat(50)}${k}`),
  });
  const images = Array.from({ length: 2_000 }, (_, i) => image(i));
  const item = (kind: string, i: number) => ({
    kind,
    name: `${kind}-${i}`,
    owner: SAMPLE_UID,
    detail: 'x'.repeat(100),
  });
  const items = (kind: string, count: number) => Array.from({ length: count }, (_, i) => item(kind, i));
  const api = await startApi({
    listImages: async () => ({ images, volumeCopy: 'qcow2', bytes: 7, maxBytes: 0 }),
    pruneImages: async () => ({ removed: images, freedBytes: 7 }),
    audit: async () => ({
      known: items('known', 30_000),
      leaked: items('leaked', 10),
      missing: items('missing', 10),
      fixed: [],
    }),
  });
  const call = caller(api);
  const digests: string[] = [];
  let pageToken = '';
  do {
    const request = toBinary(ListImagesRequestSchema, create(ListImagesRequestSchema, { pageToken }));
    const answer = await call('/flintlock.microvm.v1.ImageService/ListImages', request);
    const listed = fromBinary(ListImagesResponseSchema, answer);
    expect(listed.sizeBytes).toBe(7n);
    digests.push(...listed.images.map(({ digest }) => digest));
    pageToken = listed.nextPageToken;
  } while (pageToken !== '');
  expect(digests).toEqual(images.map(({ digest }) => digest));
  const pruned = fromBinary(
    PruneImagesResponseSchema,
    await call('/flintlock.microvm.v1.ImageService/PruneImages', new Uint8Array()),
  );
  expect([pruned.removed.length + pruned.omitted, pruned.removed.length > 900]).toEqual([2_000, true]);
  const report = fromBinary(
    AuditResponseSchema,
    await call('/flintlock.microvm.v1.HostService/Audit', new Uint8Array()),
  );
  expect([report.leaked.length, report.missing.length]).toEqual([10, 10]);
  expect([report.known.length + report.omitted, report.omitted > 0]).toEqual([30_000, true]);
  const page = await api.fetch('/v1/images?pageSize=3');
  expect(await page.json()).toMatchObject({
    images: images.slice(0, 3).map(({ digest }) => ({ digest })),
    nextPageToken: image(2).digest,
  });
  const gone = await api.fetch('/v1/images?pageToken=sha256:gone');
  expect([gone.status, await gone.json()]).toMatchObject([
    400,
    { code: 11, message: expect.stringContaining('list again') },
  ]);
});
