import { once } from 'node:events';
import { connect } from 'node:http2';
import { create, fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { allOf } from '../../../../test/support/all-of.ts';
import { startApi, type TestApi, tokensOf } from '../../../../test/support/api.ts';
import { SAMPLE_UID, sampleSpecView, sampleVm, untilAborted } from '../../../../test/support/fake-services.ts';
import { Fault } from '../../../domain/fault.ts';
import { ExecRequestSchema } from '../../../gen/flintlock/microvm/v1/guest_pb.ts';
import {
  GetMicroVMRequestSchema,
  GetMicroVMResponseSchema,
  MicroVMService,
} from '../../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { BadRequestSchema, ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import { formatEndpoint } from '../../endpoint.ts';

const SERVICE = '/flintlock.microvm.v1.MicroVMService';
const GET = toBinary(GetMicroVMRequestSchema, create(GetMicroVMRequestSchema, { uid: SAMPLE_UID }));

function enveloped(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

interface Told {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

/** A call as no library makes it. */
async function post(api: TestApi, method: string, pieces: readonly Uint8Array[], headers = {}): Promise<Told> {
  const session = connect(`http://${formatEndpoint(api.grpc)}`);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ...{ ':method': 'POST', ':path': `${SERVICE}/${method}`, 'content-type': 'application/grpc', te: 'trailers' },
    ...headers,
  });
  const told: Record<string, unknown> = {};
  const parts: Buffer[] = [];
  stream.on('response', (part) => Object.assign(told, part));
  stream.on('trailers', (part) => Object.assign(told, part));
  stream.on('data', (part: Buffer) => parts.push(part));
  for (const piece of pieces) await new Promise((done) => stream.write(piece, done));
  stream.end();
  await once(stream, 'close');
  return { headers: told, body: Buffer.concat(parts) };
}
const statusOf = ({ headers }: Told): unknown => headers['grpc-status'];

describe('a request', () => {
  test('is read however it is cut into pieces', async () => {
    const api = await startApi();
    const bytes = enveloped(GET);
    for (const pieces of [
      [bytes],
      [...bytes].map((byte) => Buffer.from([byte])),
      [bytes.subarray(0, 5), bytes.subarray(5)],
    ]) {
      const told = await post(api, 'GetMicroVM', pieces);
      expect(statusOf(told)).toBe('0');
      expect(fromBinary(GetMicroVMResponseSchema, told.body.subarray(5)).microvm?.spec?.uid).toBe(SAMPLE_UID);
    }
  });

  test.each<[string, Code, readonly Uint8Array[]]>([
    ['has no message', Code.Unimplemented, []],
    ['has two messages', Code.Unimplemented, [enveloped(GET), enveloped(GET)]],
    ['has more than its message', Code.Unimplemented, [Buffer.concat([enveloped(GET), Buffer.from([0])])]],
    ['ends in the middle of its head', Code.InvalidArgument, [enveloped(GET).subarray(0, 3)]],
    ['ends in the middle of its message', Code.InvalidArgument, [enveloped(GET).subarray(0, 9)]],
    ['says that it is packed', Code.InvalidArgument, [enveloped(GET, 1)]],
    ['is no message', Code.InvalidArgument, [enveloped(Buffer.from([0xff]))]],
    ['has a number where there is a text', Code.InvalidArgument, [enveloped(Buffer.from([0x08, 1]))]],
  ])('that %s is told so', async (_, code, pieces) => {
    const api = await startApi();
    for (const method of ['GetMicroVM', 'WatchMicroVMs'])
      expect(statusOf(await post(api, method, pieces))).toBe(String(code));
    expect(api.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('that is long is read when there is room for it, piece by piece', async () => {
    const asked: string[] = [];
    const api = await startApi({
      create: async ({ id }) => {
        asked.push(`${id.length}`);
        return sampleVm();
      },
    });
    const long = 'x'.repeat(3_000_000);
    const create = () => api.client(MicroVMService).createMicroVM({ microvm: { id: long } });
    await Promise.all(Array.from({ length: 5 }, create));
    expect(asked).toEqual(Array.from({ length: 5 }, () => '3000000'));
  });

  test('whose caller goes away in the middle of it counts as cancelled', async () => {
    const codes: string[] = [];
    const api = await startApi(
      {},
      { calls: ({ method, code }) => void codes.push(`${method.split('/').at(-1)} ${code}`) },
    );
    for (const method of ['GetMicroVM', 'WatchMicroVMs']) {
      const session = connect(`http://${formatEndpoint(api.grpc)}`);
      const stream = session.request({
        ':method': 'POST',
        ':path': `${SERVICE}/${method}`,
        'content-type': 'application/grpc',
      });
      stream.on('error', () => undefined);
      session.on('error', () => undefined);
      await new Promise((done) => stream.write(enveloped(GET).subarray(0, 9), done));
      await new Promise((done) => session.ping(done)); // so that it has arrived
      session.destroy();
      await expect.poll(() => codes.at(-1)).toBe(`${method} CANCELLED`);
    }
    expect(codes).toHaveLength(2);
    expect(api.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('whose deadline has passed is answered so, and its verb is not run', async () => {
    let isRun = false;
    const api = await startApi({
      get: async () => {
        isRun = true;
        return sampleVm();
      },
    });
    for (const timeout of ['0S', '1n'])
      expect(statusOf(await post(api, 'GetMicroVM', [enveloped(GET)], { 'grpc-timeout': timeout }))).toBe(
        String(Code.DeadlineExceeded),
      );
    expect(isRun).toBe(false);
  });
});

describe('an answer', () => {
  test('of none of a stream is a frame of headers with its status', async () => {
    const told = await post(
      await startApi({ list: async () => ({ vms: [], nextPageToken: '' }) }),
      'ListMicroVMsStream',
      [enveloped(Buffer.alloc(0))],
    );
    expect([statusOf(told), told.body.length]).toEqual(['0', 0]);
  });

  test('that fails on the way has what came before', async () => {
    const api = await startApi({
      async *watch() {
        yield { type: 'BOOKMARK' as const, cursor: 'e.1', at: 0 };
        throw new Fault('expired', 'list again', { reason: 'Deleted' });
      },
    });
    const seen: string[] = [];
    const watched = async () => {
      for await (const { cursor } of api.client(MicroVMService).watchMicroVMs({})) seen.push(cursor);
    };
    const error = await watched().then(
      () => undefined,
      (reason: unknown) => ConnectError.from(reason),
    );
    expect(seen).toEqual(['e.1']);
    expect([error?.code, error?.rawMessage, error?.findDetails(ErrorInfoSchema)[0]?.reason]).toEqual([
      ...[Code.OutOfRange, 'list again', 'Deleted'],
    ]);
  });

  test('whose caller goes away ends the verb, and nothing is logged as a bug', async () => {
    const ended: unknown[] = [];
    const api = await startApi({
      async *watch(_, signal) {
        try {
          yield { type: 'BOOKMARK' as const, cursor: 'e.1', at: 0 };
          await untilAborted(signal);
        } finally {
          ended.push(signal.aborted);
        }
      },
    });
    const caller = new AbortController();
    const events = api.client(MicroVMService).watchMicroVMs({}, { signal: caller.signal })[Symbol.asyncIterator]();
    await events.next();
    caller.abort();
    await expect(events.next()).rejects.toThrow();
    await expect.poll(() => ended).toEqual([true]);
    expect(api.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('is UNAVAILABLE when the daemon ends meanwhile', async () => {
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const api = await startApi({
      wait: async (_, signal) => {
        resolve();
        return untilAborted(signal);
      },
    });
    const call = api.client(MicroVMService).waitMicroVM({ uid: SAMPLE_UID, until: 1 });
    const failed = expect(call).rejects.toMatchObject({ code: Code.Unavailable });
    await begun;
    await api.api.stop();
    await failed;
  });
});

const START = toBinary(
  ExecRequestSchema,
  create(ExecRequestSchema, { payload: { case: 'start', value: { uid: SAMPLE_UID, command: 'x' } } }),
);
const stdin = (bytes: Uint8Array): Uint8Array =>
  toBinary(ExecRequestSchema, create(ExecRequestSchema, { payload: { case: 'stdin', value: bytes } }));

describe('a call both ways', () => {
  const EXEC = { ':path': '/flintlock.microvm.v1.GuestService/Exec' };

  test('is read however it is cut into pieces', async () => {
    const api = await startApi({
      async *exec(_, input) {
        for await (const one of input) if (one.is === 'stdin') yield { is: 'stdout', data: one.data };
        yield { is: 'exit', code: 0, timedOut: false };
      },
    });
    const long = Buffer.alloc(100_000, 'y');
    const bytes = Buffer.concat([START, stdin(Buffer.from('abc')), stdin(long)].map((one) => enveloped(one)));
    const cut = [bytes.subarray(0, 3), bytes.subarray(3, 20), bytes.subarray(20, 50_000), bytes.subarray(50_000)];
    for (const pieces of [[bytes], cut]) {
      const told = await post(api, 'Exec', pieces, EXEC);
      expect(statusOf(told)).toBe('0');
      expect(told.body.includes(long) && told.body.includes('abc')).toBe(true);
    }
  });

  test.each<[string, Code, readonly Uint8Array[]]>([
    ['has no message', Code.InvalidArgument, []],
    ['ends in the middle of its head', Code.InvalidArgument, [enveloped(START), enveloped(START).subarray(0, 3)]],
    ['ends in the middle of a message', Code.InvalidArgument, [enveloped(START), enveloped(START).subarray(0, 9)]],
    ['says that it is packed', Code.InvalidArgument, [enveloped(START), enveloped(START, 1)]],
    ['is no message', Code.InvalidArgument, [enveloped(Buffer.from([0xff]))]],
    ['has a message that is too long', Code.ResourceExhausted, [enveloped(START), Buffer.from('0005000000', 'hex')]],
  ])('that %s is told so', async (_, code, pieces) => {
    const api = await startApi({
      async *exec(__, input) {
        for await (const one of input) yield { is: 'stderr', data: Buffer.from(one.is) };
        yield { is: 'exit', code: 0, timedOut: false };
      },
    });
    expect(statusOf(await post(api, 'Exec', pieces, EXEC))).toBe(String(code));
    expect(api.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('ends when its answer is whole, whatever its caller still sends', async () => {
    const api = await startApi({
      async *exec(_, input) {
        void input[Symbol.asyncIterator]().next(); // it waits for what never comes
        yield { is: 'exit', code: 7, timedOut: false };
      },
    });
    const session = connect(`http://${formatEndpoint(api.grpc)}`);
    onTestFinished(() => session.destroy());
    const headers = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
    const stream = session.request({ ...headers, ...EXEC });
    stream.on('error', () => undefined);
    stream.resume();
    stream.write(enveloped(START));
    const [trailers] = await once(stream, 'trailers');
    expect(trailers['grpc-status']).toBe('0');
    // Its window is not left full.
    for (let i = 0; i < 40 && !stream.destroyed; i++)
      await new Promise((done) => stream.write(enveloped(stdin(Buffer.alloc(32 << 10))), done));
    stream.end();
    expect(api.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

/** The client's words for what came of a call. */
async function outcomeOf(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await call();
  } catch (reason) {
    const error = ConnectError.from(reason);
    const details = [...error.findDetails(BadRequestSchema), ...error.findDetails(ErrorInfoSchema)];
    return [error.code, error.rawMessage, details.map(({ $typeName }) => $typeName)];
  }
}

test.each<[string, (vms: Client<typeof MicroVMService>) => Promise<unknown>]>([
  ['an answer', async (vms) => toJson(GetMicroVMResponseSchema, await vms.getMicroVM({ uid: SAMPLE_UID }))],
  ['one without a field', async (vms) => (await vms.deleteMicroVM({ uid: SAMPLE_UID })).$typeName],
  ['a list', (vms) => vms.listMicroVMs({})],
  ['a list by stream', (vms) => allOf(vms.listMicroVMsStream({}))],
  ['a part of a list by stream', (vms) => allOf(vms.listMicroVMsStream({ pageSize: 1 }))],
  ['a watch', (vms) => allOf(vms.watchMicroVMs({}))],
  ['a console', (vms) => allOf(vms.readConsole({ uid: SAMPLE_UID }))],
  ['what is not there', (vms) => vms.getMicroVM({ uid: 'none' })],
  ['what is wrong in many places', (vms) => vms.waitMicroVM({ timeout: { seconds: -1n } })],
  ['what is wrong in a stream', (vms) => allOf(vms.readConsole({}))],
  ['a Fault with a reason', (vms) => vms.createMicroVM({ microvm: { id: 'ü' } })],
  ['a bug', (vms) => vms.stopMicroVM({ uid: SAMPLE_UID })],
  ['a deadline', (vms) => vms.startMicroVM({ uid: SAMPLE_UID }, { timeoutMs: 30 })],
])('%s is the same where the library answers', async (_, call) => {
  const api = await startApi({
    list: async ({ pageToken }) => ({
      vms: [sampleVm({ version: pageToken === '' ? 1 : 2, spec: { ...sampleSpecView, metadata: { a: 'é' } } })],
      nextPageToken: pageToken === '' ? 'more' : '',
    }),
    create: async () => {
      throw new Fault('refused', 'it has an ü: 100 %', { reason: 'ProviderRefused' });
    },
    power: async (verb, __, signal) => {
      if (verb === 'start') return untilAborted(signal);
      throw new TypeError('a bug');
    },
  });
  const web = createGrpcWebTransport({ baseUrl: `http://${formatEndpoint(api.grpc)}`, httpVersion: '2' });
  const direct = await outcomeOf(() => call(api.client(MicroVMService)));
  expect(direct).toEqual(await outcomeOf(() => call(createClient(MicroVMService, web))));
});

test('who may not call is told so before the request is read, and the call is no stream that is counted', async () => {
  const api = await startApi(
    {},
    { tokens: tokensOf({ name: 'a', secret: 't' }), flow: { streams: { connection: 1, caller: 1, all: 1 } } },
  );
  for (let i = 0; i < 3; i++) expect(statusOf(await post(api, 'WatchMicroVMs', []))).toBe(String(Code.Unauthenticated));
  const allowed = { authorization: 'Bearer t' };
  for (let i = 0; i < 3; i++)
    expect(statusOf(await post(api, 'WatchMicroVMs', [enveloped(Buffer.alloc(0))], allowed))).toBe('0');
});
