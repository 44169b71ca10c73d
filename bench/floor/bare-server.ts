/**
 * A bare server of the library that serves our API, with fixed answers: what
 * it takes to answer at all. `node bare-server.ts`; it is told its answers by
 * its parent, and tells its port.
 */
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { fromBinary } from '@bufbuild/protobuf';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { GuestService } from '../../src/gen/flintlock/microvm/v1/guest_pb.ts';
import {
  GetMicroVMResponseSchema,
  ListMessageSchema,
  ListMicroVMsResponseSchema,
  MicroVMService,
} from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';

/** Answers as our own server gave them, base64. */
export interface Answers {
  readonly get: string;
  readonly list: string;
  /** One message of a stream, and how often it comes. */
  readonly message: string;
  readonly times: number;
}
export interface BareTold {
  readonly port: number;
}

const binary = (text: string): Uint8Array => Buffer.from(text, 'base64');

process.on('disconnect', () => process.exit());
process.once('message', (answers: Answers) => {
  const get = fromBinary(GetMicroVMResponseSchema, binary(answers.get));
  const list = fromBinary(ListMicroVMsResponseSchema, binary(answers.list));
  const message = fromBinary(ListMessageSchema, binary(answers.message));
  const server = createServer(
    connectNodeAdapter({
      routes: (router) => {
        router.service(MicroVMService, {
          getMicroVM: () => get,
          listMicroVMs: () => list,
          async *listMicroVMsStream() {
            for (let i = 0; i < answers.times; i++) yield message;
          },
        });
        router.service(GuestService, {
          // As after a program that says nothing.
          async *exec(requests) {
            for await (const _ of requests) {
              yield { payload: { case: 'exit', value: {} } };
              return;
            }
          },
        });
      },
    }),
  );
  server.listen(0, '127.0.0.1', () => {
    process.send?.({ port: (server.address() as AddressInfo).port } satisfies BareTold);
  });
});
