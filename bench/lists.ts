/**
 * How the API bears many Lists at once on one connection, with Gets beside
 * them, by another maker's client.
 *
 *     node bench/lists.ts [COUNT [BYTES]]
 *
 * Over COUNT microVMs (100) with BYTES of metadata each (20,000). Compare the
 * ratios, not the milliseconds. Ends with 1 where a call failed.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import {
  GetMicroVMRequestSchema,
  ListMicroVMsRequestSchema,
  ListMicroVMsResponseSchema,
} from '../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import { startApiProcess } from '../test/support/api-process.ts';

const [count = 100, bytes = 20_000] = process.argv.slice(2).map(Number);
const AT_ONCE = [1, 8, 32, 100];
/** Beside which Gets are asked, one after the other. */
const GETS = 20;

const api = await startApiProcess({ count, bytes }, 512);
const client = new grpc.Client(`127.0.0.1:${api.grpc}`, grpc.credentials.createInsecure(), {
  'grpc.max_receive_message_length': -1,
});
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

interface Round {
  readonly ms: number;
  readonly failed: number;
  /** Of the Gets beside, in milliseconds. */
  readonly gets: readonly number[];
}

async function round(atOnce: number, uid: string): Promise<Round> {
  const begin = performance.now();
  let failed = 0;
  const onError = (error: grpc.ServiceError): void => {
    failed++;
    process.stderr.write(`${error.message}\n`);
  };
  const lists = Promise.all(Array.from({ length: atOnce }, () => list().catch(onError)));
  const gets: number[] = [];
  const get = toBinary(GetMicroVMRequestSchema, create(GetMicroVMRequestSchema, { uid }));
  for (let i = 0; i < GETS; i++) {
    const asked = performance.now();
    await call('GetMicroVM', get).catch(onError);
    gets.push(performance.now() - asked);
  }
  await lists;
  return { ms: performance.now() - begin, failed, gets };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

let failures = 0;
try {
  const first = fromBinary(ListMicroVMsResponseSchema, await list());
  const uid = first.microvm[0]?.spec?.uid ?? '';
  await round(1, uid); // what everything does once is behind it
  const alone = median((await round(0, uid)).gets);
  process.stdout.write(`${count} microVMs, ${bytes} bytes of metadata each; a Get alone: ${alone.toFixed(2)} ms\n`);
  process.stdout.write('at once  failed  ms a List  of that of 1  Get beside: median  slowest\n');
  let one = 0;
  for (const atOnce of AT_ONCE) {
    const { ms, failed, gets } = await round(atOnce, uid);
    const each = ms / atOnce;
    one ||= each;
    failures += failed;
    const cells = [atOnce, failed, each.toFixed(1), (each / one).toFixed(2), median(gets).toFixed(1)];
    const widths = [7, 7, 10, 13, 19];
    process.stdout.write(
      `${cells.map((cell, i) => String(cell).padStart(widths[i] ?? 8)).join(' ')} ${Math.max(...gets)
        .toFixed(1)
        .padStart(8)}\n`,
    );
  }
  const { rss } = await api.memory();
  process.stdout.write(`memory of the API afterwards: ${Math.round(rss / 2 ** 20)} MiB\n`);
} finally {
  client.close();
  await api.end();
}
process.exitCode = failures > 0 ? 1 : 0;
