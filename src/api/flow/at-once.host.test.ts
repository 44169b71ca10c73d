import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { startApiProcess } from '../../../test/support/api-process.ts';
import {
  GetMicroVMRequestSchema,
  ListMicroVMsRequestSchema,
  ListMicroVMsResponseSchema,
} from '../../gen/flintlock/microvm/v1/microvms_pb.ts';

/** Beside the Lists, one after the other. */
const GETS = 20;
const [COUNT, BYTES] = [100, 20_000];

test('a hundred Lists at once over one connection, with Gets beside them: none is refused', async (t) => {
  const api = await startApiProcess({ count: COUNT, bytes: BYTES }, 512);
  t.onTestFinished(() => api.end());
  const client = new grpc.Client(`127.0.0.1:${api.grpc}`, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
  });
  t.onTestFinished(() => client.close());
  const call = (method: string, request: Uint8Array): Promise<Buffer> =>
    new Promise((done, fail) => {
      client.makeUnaryRequest(
        `/flintlock.microvm.v1.MicroVMService/${method}`,
        (message: Uint8Array) => Buffer.from(message),
        (answer: Buffer) => answer,
        request,
        (error, answer) => (error || !answer ? fail(error) : done(answer)),
      );
    });
  const list = (): Promise<Buffer> =>
    call('ListMicroVMs', toBinary(ListMicroVMsRequestSchema, create(ListMicroVMsRequestSchema)));
  const whole = await list();
  expect(whole.length).toBeGreaterThan(COUNT * BYTES);
  const uid = fromBinary(ListMicroVMsResponseSchema, whole).microvm[0]?.spec?.uid ?? '';
  const get = toBinary(GetMicroVMRequestSchema, create(GetMicroVMRequestSchema, { uid }));

  for (const atOnce of [1, 8, 32, 100]) {
    const refused: unknown[] = [];
    const onError = (error: unknown): void => void refused.push(error);
    const lists = Promise.all(Array.from({ length: atOnce }, () => list().catch(onError)));
    for (let i = 0; i < GETS; i++) await call('GetMicroVM', get).catch(onError);
    await lists;
    expect({ atOnce, refused }).toEqual({ atOnce, refused: [] });
  }
});
