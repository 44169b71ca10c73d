import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { ExecResponseSchema } from '../gen/flintlock/microvm/v1/guest_pb.ts';
import { ReadConsoleResponseSchema } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { partsOf } from './message-parts.ts';

const LONG = Buffer.alloc(40_000, 'x');

test.each<[string, DescMessage, MessageInitShape<DescMessage>, boolean]>([
  ['output', ExecResponseSchema, { payload: { case: 'stdout', value: LONG } }, true],
  [
    'a made message',
    ExecResponseSchema,
    create(ExecResponseSchema, { payload: { case: 'stderr', value: LONG } }),
    true,
  ],
  ['short output', ExecResponseSchema, { payload: { case: 'stdout', value: Buffer.from('a') } }, false],
  ['no output', ExecResponseSchema, { payload: { case: 'stdout', value: Buffer.alloc(0) } }, false],
  ['an exit', ExecResponseSchema, { payload: { case: 'exit', value: { code: 3 } } }, false],
  ['nothing', ExecResponseSchema, {}, false],
  ['nothing chosen', ExecResponseSchema, { payload: { case: undefined } }, false],
  ['bytes that are a field of their own', ReadConsoleResponseSchema, { data: LONG }, true],
])('%s: its bytes are those of the message', (_, desc, message, isThere) => {
  const parts = partsOf(desc, message);
  expect(Buffer.concat(parts)).toEqual(Buffer.from(toBinary(desc, create(desc, message))));
  expect(parts.includes(LONG)).toBe(isThere);
});
