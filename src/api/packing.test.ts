import { once } from 'node:events';
import { connect } from 'node:http2';
import { brotliCompressSync, constants, deflateSync, gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { startApi, type TestApi } from '../../test/support/api.ts';
import { SAMPLE_UID, sampleSpec, sampleVm } from '../../test/support/fake-services.ts';
import {
  CreateMicroVMRequestSchema,
  CreateMicroVMResponseSchema,
  GetMicroVMRequestSchema,
} from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { formatEndpoint } from './endpoint.ts';

const SERVICE = '/flintlock.microvm.v1.MicroVMService';
const LONG = { 'user-data': Buffer.alloc(50_000, 'x').toString('base64') };
const long = { get: async () => sampleVm({ spec: { ...sampleSpec, metadata: LONG } }) };
const createRequest = toBinary(
  CreateMicroVMRequestSchema,
  create(CreateMicroVMRequestSchema, { microvm: { id: 'packed', metadata: LONG } }),
);
const getRequest = toBinary(GetMicroVMRequestSchema, create(GetMicroVMRequestSchema, { uid: SAMPLE_UID }));
const BOMB = gzipSync(Buffer.alloc(64 << 20), { level: 9 });

function envelope(message: Uint8Array, isPacked: boolean): Buffer {
  const head = Buffer.alloc(5);
  head[0] = isPacked ? 1 : 0;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A call as no library makes it. */
async function post(api: TestApi, path: string, headers: Record<string, string>, body: Uint8Array) {
  const session = connect(`http://${formatEndpoint(api.grpc)}`);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
  const answered: Record<string, unknown> = {};
  const parts: Buffer[] = [];
  stream.on('response', (response) => Object.assign(answered, response));
  stream.on('trailers', (trailers) => Object.assign(answered, trailers));
  stream.on('data', (part: Buffer) => parts.push(part));
  stream.end(body);
  await once(stream, 'close');
  return { headers: answered, body: Buffer.concat(parts) };
}
const postGrpc = (api: TestApi, method: string, headers: Record<string, string>, body: Uint8Array) =>
  post(api, `${SERVICE}/${method}`, { 'content-type': 'application/grpc', te: 'trailers', ...headers }, body);

test('a client of another maker that packs by gzip is understood, and answered so', async () => {
  const api = await startApi(long);
  const client = new grpc.Client(formatEndpoint(api.grpc), grpc.credentials.createInsecure(), {
    'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip,
  });
  onTestFinished(() => client.close());
  const bytes = (message: Uint8Array): Buffer => Buffer.from(message);
  const answer = await new Promise<Buffer>((done, fail) => {
    client.makeUnaryRequest(`${SERVICE}/CreateMicroVM`, bytes, bytes, createRequest, (error, found) =>
      error || !found ? fail(error) : done(found),
    );
  });
  expect(fromBinary(CreateMicroVMResponseSchema, answer).microvm?.spec?.uid).toBe(SAMPLE_UID);
});

test('answers are packed for who packs, and only where it helps', async () => {
  const api = await startApi(long);
  const ask = (headers: Record<string, string>, isPacked: boolean) =>
    postGrpc(api, 'GetMicroVM', headers, envelope(isPacked ? gzipSync(getRequest) : getRequest, isPacked));
  const packed = await ask({ 'grpc-encoding': 'gzip', 'grpc-accept-encoding': 'identity,deflate,gzip' }, true);
  expect(packed.headers).toMatchObject({ 'grpc-encoding': 'gzip', 'grpc-status': '0' });
  expect(packed.body[0]).toBe(1);
  expect(packed.body.length).toBeLessThan(5_000);
  const plain = await ask({ 'grpc-accept-encoding': 'identity,deflate,gzip' }, false);
  expect(plain.headers).toMatchObject({ 'grpc-accept-encoding': 'identity,gzip', 'grpc-status': '0' });
  expect(plain.body.subarray(5)).toEqual(gunzipSync(packed.body.subarray(5)));
  expect(plain.headers['grpc-encoding']).toBeUndefined();
  // Who packs and cannot unpack.
  const deaf = await ask({ 'grpc-encoding': 'gzip', 'grpc-accept-encoding': 'identity' }, true);
  expect(deaf.body[0]).toBe(0);
  // A message may be left as it is.
  expect((await ask({ 'grpc-encoding': 'gzip' }, false)).headers['grpc-status']).toBe('0');
});

test.each(['br', 'zstd', 'deflate', 'snappy'])('a request packed by %s is told what is read', async (encoding) => {
  const { headers } = await postGrpc(
    await startApi(),
    'GetMicroVM',
    { 'grpc-encoding': encoding },
    envelope(deflateSync(getRequest), true),
  );
  expect(headers).toMatchObject({
    'grpc-status': String(grpc.status.UNIMPLEMENTED),
    'grpc-message': `unknown compression "${encoding}": supported encodings are gzip`,
    'grpc-accept-encoding': expect.stringContaining('gzip'),
  });
});

test('what unpacks to more than a message may be is refused, and what is no gzip', async () => {
  const api = await startApi();
  const ask = (body: Uint8Array) => postGrpc(api, 'GetMicroVM', { 'grpc-encoding': 'gzip' }, envelope(body, true));
  const bomb = await ask(BOMB);
  expect(bomb.headers).toMatchObject({
    'grpc-status': String(grpc.status.RESOURCE_EXHAUSTED),
    'grpc-message': 'The message is over 4194304 bytes when it is unpacked',
  });
  for (const body of [Buffer.from('no gzip'), gzipSync(getRequest).subarray(0, 20), Buffer.alloc(0)])
    expect((await ask(body)).headers).toMatchObject({
      'grpc-status': String(grpc.status.INVALID_ARGUMENT),
      'grpc-message': expect.stringContaining('Cannot unpack the message by gzip'),
    });
  expect((await ask(gzipSync(Buffer.from([0xff])))).headers['grpc-status']).toBe(String(grpc.status.INVALID_ARGUMENT));
});

test.each([
  ['gRPC-web', 'application/grpc-web+proto', 'grpc-encoding', true],
  ['Connect, of one message', 'application/proto', 'content-encoding', false],
])('%s may pack, too', async (_name, type, header, isFramed) => {
  const packed = gzipSync(getRequest);
  const { headers } = await post(
    await startApi(),
    `${SERVICE}/GetMicroVM`,
    { 'content-type': type, [header]: 'gzip', 'connect-protocol-version': '1' },
    isFramed ? envelope(packed, true) : packed,
  );
  expect(headers[':status']).toBe(200);
});

const POST = '/v1/namespaces/default/microvms';
const spec = JSON.stringify({ id: 'packed', metadata: LONG });
const send = (api: TestApi, encoding: string, body: Uint8Array<ArrayBuffer>) =>
  api.fetch(POST, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-encoding': encoding },
    body,
  });
/** Quickly: its usual quality, 11, takes seconds for what a bomb unpacks to. */
const brotli = (bytes: Uint8Array) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } });
const own = (bytes: Buffer): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);

test.each([
  ['gzip', gzipSync],
  ['x-gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotli],
  ['zstd', zstdCompressSync],
  ['identity', (bytes: Uint8Array) => Buffer.from(bytes)],
] as const)('over HTTP a body may be packed by %s', async (encoding, pack) => {
  const api = await startApi();
  const answer = await send(api, encoding, own(pack(Buffer.from(spec))));
  expect([answer.status, await answer.json()]).toMatchObject([201, { spec: { uid: SAMPLE_UID } }]);
  if (encoding === 'identity') return;
  const bomb = await send(api, encoding, own(pack(Buffer.alloc(8 << 20))));
  expect([bomb.status, await bomb.json()]).toMatchObject([413, { message: 'The body is over 4194304 bytes' }]);
  const cut = await send(api, encoding, own(pack(Buffer.from(spec)).subarray(0, 30)));
  expect([cut.status, await cut.json()]).toMatchObject([
    400,
    { code: 3, message: expect.stringContaining(`Cannot unpack the body by ${encoding}`) },
  ]);
});

test('over HTTP who packs in another way is told what is read', async () => {
  const api = await startApi();
  for (const encoding of ['compress', 'gzip, gzip', 'toString']) {
    const answer = await send(api, encoding, own(gzipSync(spec)));
    expect([answer.status, answer.headers.get('accept-encoding'), await answer.json()]).toMatchObject([
      415,
      'gzip, deflate, br, zstd',
      { message: expect.stringContaining('gzip, deflate, br, zstd') },
    ]);
  }
});

test('over HTTP an answer is packed for who asks for it, and only where it helps', async () => {
  const api = await startApi(long);
  const get = (accepted: string) =>
    api.fetch(`/v1/microvms/${SAMPLE_UID}`, { headers: { 'accept-encoding': accepted } });
  for (const accepted of ['gzip', 'br, GZIP;q=0.5', '*']) {
    const answer = await get(accepted);
    expect(answer.headers.get('content-encoding')).toBe('gzip');
    expect(Number(answer.headers.get('content-length'))).toBeLessThan(5_000);
    expect(await answer.json()).toMatchObject({ spec: { uid: SAMPLE_UID } });
  }
  for (const accepted of ['identity', 'br', 'gzip;q=0', 'gzip;q=0.0', 'gzipped']) {
    const answer = await get(accepted);
    expect(answer.headers.get('content-encoding')).toBeNull();
    expect(answer.headers.get('vary')).toBe('accept-encoding');
    await answer.arrayBuffer();
  }
  const short = await api.fetch('/v1/images', { headers: { 'accept-encoding': 'gzip' } });
  expect([short.headers.get('content-encoding'), short.status]).toEqual([null, 200]);
});
