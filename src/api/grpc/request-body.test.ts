import { create, toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CreateMicroVMRequestSchema, MicroVMService } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { checkedBody } from './request-body.ts';

const MAX = 1_000;
const method = MicroVMService.method.createMicroVM;
const FRAMED = 'application/grpc';
const PLAIN = 'application/proto';

const messageOf = (id: string): Uint8Array =>
  toBinary(CreateMicroVMRequestSchema, create(CreateMicroVMRequestSchema, { microvm: { id } }));
const envelope = (message: Uint8Array, flags = 0): Uint8Array => {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};
/** The same bytes in pieces of these sizes. */
async function* pieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const size of sizes) {
    yield bytes.subarray(at, at + size);
    at += size;
  }
  yield bytes.subarray(at);
}
async function passed(
  body: AsyncIterable<Uint8Array>,
  contentType: string,
  packing: 'gzip' | 'identity' = 'identity',
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of checkedBody(body, { contentType, method, packing, maxBytes: MAX })) parts.push(part);
  return Buffer.concat(parts);
}
const refusal = (body: AsyncIterable<Uint8Array>, contentType: string): Promise<ConnectError> =>
  passed(body, contentType).then(
    () => Promise.reject(new Error('it passed')),
    (error: unknown) => ConnectError.from(error),
  );

describe('passes on, byte for byte', () => {
  const sizes = fc.array(fc.nat(40), { maxLength: 20 });

  test('messages, however they are cut into pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ maxLength: 50 }), { maxLength: 4 }), sizes, async (ids, sizes) => {
        const bytes = Buffer.concat(ids.map((id) => envelope(messageOf(id))));
        expect(await passed(pieces(bytes, sizes), FRAMED)).toEqual(bytes);
        const plain = Buffer.from(messageOf(ids.join('')));
        expect(await passed(pieces(plain, sizes), PLAIN)).toEqual(plain);
      }),
    );
  });

  test('anything in a form that is not ours, and what is too large or cut off: the library judges those', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), sizes, async (junk, sizes) => {
        const bytes = Buffer.from(junk);
        for (const type of ['text/plain', '', 'application/grpc-web-text'])
          expect(await passed(pieces(bytes, sizes), type)).toEqual(bytes);
        const large = Buffer.concat([envelope(Buffer.alloc(MAX + 1, 0xff)), junk]);
        expect(await passed(pieces(large, sizes), FRAMED)).toEqual(large);
        expect(await passed(pieces(Buffer.alloc(MAX + 1, 0xff), sizes), PLAIN)).toHaveLength(MAX + 1);
        const cut = envelope(messageOf('a whole one')).subarray(0, 9);
        expect(await passed(pieces(cut, sizes), FRAMED)).toEqual(Buffer.from(cut));
      }),
    );
  });

  test('JSON, whatever is in it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), sizes, async (text, sizes) => {
        const bytes = Buffer.from(text);
        expect(await passed(pieces(bytes, sizes), 'application/json')).toEqual(bytes);
        const framed = envelope(bytes);
        expect(await passed(pieces(framed, sizes), 'application/grpc+json')).toEqual(Buffer.from(framed));
      }),
    );
  });
});

describe("tells as the caller's fault", () => {
  test.each([
    ['no message', FRAMED, envelope(Buffer.from([0xff, 0xff]))],
    ['no message after one that is', FRAMED, Buffer.concat([envelope(messageOf('a')), envelope(Buffer.from([0x0c]))])],
    ['text that is no UTF-8', 'application/grpc-web+proto', envelope(Buffer.from([0x0a, 3, 0x0a, 1, 0xff]))],
    ['compressed, and not said how', FRAMED, envelope(messageOf('a'), 1)],
    ['JSON that is compressed', 'application/connect+json', envelope(Buffer.from('{}'), 3)],
    ['no JSON', 'application/grpc+json', envelope(Buffer.from('{"a": b}'))],
    ['no JSON, without an envelope', 'application/json', Buffer.from('{"a": b}')],
    ['no message, without an envelope', PLAIN, Buffer.from([0xff])],
    ['a length beyond the end', PLAIN, Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])],
  ])('%s', async (_, type, bytes) => {
    for (const sizes of [[], [1, 1, 1, 1, 1, 1, 1]])
      expect(await refusal(pieces(bytes, sizes), type)).toMatchObject({
        code: Code.InvalidArgument,
        rawMessage: expect.stringContaining('Cannot read the message'),
      });
  });

  test('a request that breaks off', async () => {
    async function* cut(): AsyncGenerator<Uint8Array> {
      yield envelope(messageOf('a')).subarray(0, 7);
      throw Object.assign(new Error('Premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
    }
    expect((await refusal(cut(), FRAMED)).code).toBe(Code.Canceled);
  });
});
