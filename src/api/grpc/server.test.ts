import { once } from 'node:events';
import { connect as connectHttp2, constants, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type DescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import * as grpc from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { scratchDirectory, startApi, tokensOf, transportTo } from '../../../test/support/api.ts';
import { fakeServices, SAMPLE_UID, sampleVm, untilAborted } from '../../../test/support/fake-services.ts';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { Fault } from '../../domain/fault.ts';
import { HostService } from '../../gen/flintlock/microvm/v1/host_pb.ts';
import {
  GetMicroVMRequestSchema,
  GetMicroVMResponseSchema,
  MicroVMEventSchema,
  MicroVMService,
  WatchMicroVMsRequestSchema,
} from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { BadRequestSchema, ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { Health } from '../../gen/health/v1/health_pb.ts';
import { clock } from '../../host/clock.ts';
import type { Services, UpdateRequest } from '../../service/services.ts';
import { CurrentCaller } from '../current-caller.ts';
import { type Endpoint, formatEndpoint } from '../endpoint.ts';
import { Flow } from '../flow/flow.ts';
import { openGate } from '../gate.ts';
import { RareLog } from '../rare-log.ts';
import { GrpcServer } from './server.ts';

const SERVICE = '/flintlock.microvm.v1.MicroVMService';

/** A client of the reference implementation: it sends and takes bytes. */
function rawClient(endpoint: Endpoint): grpc.Client {
  const address = endpoint.kind === 'unix' ? `unix:${endpoint.path}` : formatEndpoint(endpoint);
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  onTestFinished(() => client.close());
  return client;
}

const same = (bytes: Buffer): Buffer => bytes;

function rawUnary(client: grpc.Client, path: string, request: Uint8Array, options: grpc.CallOptions = {}) {
  return new Promise<Buffer>((resolve, reject) => {
    client.makeUnaryRequest(path, same, same, Buffer.from(request), new grpc.Metadata(), options, (error, answer) =>
      error ? reject(error) : resolve(answer ?? Buffer.alloc(0)),
    );
  });
}

/** What a promise fails with, as connect's client tells it. */
async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw new Error(`Expected a ConnectError, not ${error}`);
  return error;
}

test('create, get, list, delete, wait, info and audit, by the reference client and by connect', async () => {
  const { client, grpc: endpoint } = await startApi();
  const request = toBinary(GetMicroVMRequestSchema, {
    $typeName: 'flintlock.microvm.v1.GetMicroVMRequest',
    id: 'web',
    namespace: '',
    uid: '',
    showDeleted: false,
  });
  const answer = fromBinary(
    GetMicroVMResponseSchema,
    await rawUnary(rawClient(endpoint), `${SERVICE}/GetMicroVM`, request),
  );
  expect(answer.microvm?.spec?.uid).toBe(SAMPLE_UID);

  const vms = client(MicroVMService);
  expect((await vms.createMicroVM({ microvm: { id: 'web' } })).microvm?.status).toMatchObject({ state: 0 });
  expect((await vms.listMicroVMs({})).microvm).toHaveLength(1);
  expect(await vms.deleteMicroVM({ uid: SAMPLE_UID })).toMatchObject({ $typeName: 'google.protobuf.Empty' });
  expect((await vms.waitMicroVM({ uid: SAMPLE_UID, until: 1 })).microvm?.version).toBe(3);
  const hosts = client(HostService);
  expect(await hosts.serverInfo({})).toMatchObject({ version: '0.1.0', capacity: { memoryInMb: 4_096n } });
  expect((await hosts.audit({ fix: true })).fixed).toHaveLength(1);
});

test('streams: list, watch and console', async () => {
  const seen: string[] = [];
  const list: Services['list'] = async ({ pageToken, pageSize }) => {
    seen.push(`${pageSize}:${pageToken}`);
    return { vms: [sampleVm()], nextPageToken: pageToken === '' ? 'second' : '' };
  };
  const { client } = await startApi({ list });
  const vms = client(MicroVMService);
  let count = 0;
  for await (const { microvm } of vms.listMicroVMsStream({})) count += microvm ? 1 : 0;
  expect(count).toBe(2);
  for await (const { microvm } of vms.listMicroVMsStream({ pageSize: 1 })) count += microvm ? 1 : 0;
  expect(count).toBe(3);
  expect(seen).toEqual(['200:', '200:second', '1:']);

  const events = [];
  for await (const { type, cursor } of vms.watchMicroVMs({})) events.push([type, cursor]);
  expect(events).toEqual([
    [1, 'e.1'],
    [4, 'e.2'],
  ]);
  const pieces = [];
  for await (const { data } of vms.readConsole({ uid: SAMPLE_UID })) pieces.push(data);
  expect(Buffer.concat(pieces)).toEqual(Buffer.from('hello\r\n\0\xff\n', 'latin1'));
});

test('all field errors arrive as BadRequest, the reason as ErrorInfo', async () => {
  const violations = [
    { field: 'vcpu', description: 'must be at least 1' },
    { field: 'volumes[0].id', description: 'must not be empty' },
  ];
  const { client } = await startApi({
    create: async () => {
      throw Fault.invalid(violations);
    },
    get: async () => {
      throw new Fault('refused', 'two of them: ü', { reason: 'ProviderRefused' });
    },
  });
  const vms = client(MicroVMService);
  const invalid = await failureOf(vms.createMicroVM({ microvm: {} }));
  expect(invalid.code).toBe(Code.InvalidArgument);
  expect(invalid.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject(violations);
  const refused = await failureOf(vms.getMicroVM({ id: 'a' }));
  expect(refused).toMatchObject({ code: Code.FailedPrecondition, rawMessage: 'two of them: ü' });
  expect(refused.findDetails(ErrorInfoSchema)[0]?.reason).toBe('ProviderRefused');
});

test('create refuses to do without a microvm, by name', async () => {
  const { client } = await startApi();
  const error = await failureOf(client(MicroVMService).createMicroVM({}));
  expect(error.code).toBe(Code.InvalidArgument);
  expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations.map((v) => v.field)).toEqual(['microvm']);
});

test('create hands its key on, and with validate_only answers with the plan and without a uid', async () => {
  const services = fakeServices();
  const { client } = await startApi(services);
  const vms = client(MicroVMService);
  await vms.createMicroVM({ microvm: { id: 'web' }, idempotencyKey: 'k' });
  expect(services.options).toMatchObject([{ uniqueId: true, idempotencyKey: 'k' }]);
  const { microvm, plan } = await vms.createMicroVM({ microvm: { id: 'web' }, validateOnly: true });
  expect(plan).toEqual(['vmm: start it']);
  expect(microvm?.spec).toMatchObject({ id: 'web', uid: '', generation: 0n });
  expect(microvm?.spec?.createdAt).toBeUndefined();
  expect(services.created).toHaveLength(1);
});

test('update hands on the mask, or what is set, and the generation', async () => {
  const updates: UpdateRequest[] = [];
  const { client } = await startApi({
    update: async (request) => {
      updates.push(request);
      return sampleVm();
    },
  });
  const vms = client(MicroVMService);
  await vms.updateMicroVM({ microvm: { uid: 'u', labels: { a: 'b' } }, updateMask: { paths: ['labels.a', 'vcpu'] } });
  await vms.updateMicroVM({ microvm: { id: 'web', restartPolicy: 1, vcpu: 3 }, expectedGeneration: 4n });
  expect(updates).toMatchObject([
    { target: { uid: 'u' }, mask: ['labels.a', 'vcpu'], draft: { labels: { a: 'b' } }, expectedGeneration: 0 },
    { target: { id: 'web', namespace: '' }, mask: ['vcpu', 'restart_policy'], expectedGeneration: 4 },
  ]);
  const { plan } = await vms.updateMicroVM({ microvm: { id: 'web' }, validateOnly: true });
  expect(plan).toEqual(['labels: set app=web']);
  for (const [field, request] of [
    ['microvm', {}],
    ['expected_generation', { microvm: {}, expectedGeneration: -1n }],
  ] as const) {
    const error = await failureOf(vms.updateMicroVM(request));
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations.map((v) => v.field)).toEqual([field]);
  }
  expect(updates).toHaveLength(2);
});

test('wait is told what and whom to wait for; absent time is 60 s', async () => {
  const timeouts: number[] = [];
  const { client } = await startApi({
    wait: async ({ timeoutMs }) => {
      timeouts.push(timeoutMs);
      return sampleVm();
    },
  });
  const vms = client(MicroVMService);
  const error = await failureOf(vms.waitMicroVM({ timeout: { seconds: -1n } }));
  const fields = error.findDetails(BadRequestSchema)[0]?.fieldViolations.map((v) => v.field);
  expect(fields).toEqual(['uid', 'until', 'timeout']);
  await vms.waitMicroVM({ uid: 'u', until: 3 });
  await vms.waitMicroVM({ uid: 'u', until: 3, timeout: { seconds: 2n } });
  expect(timeouts).toEqual([60_000, 2_000]);
});

test('the power verbs ask for what they are named after, 60 s when they are not told', async () => {
  const asked: unknown[] = [];
  const { client } = await startApi({
    power: async (verb, request) => {
      asked.push([verb, request]);
      return sampleVm();
    },
  });
  const vms = client(MicroVMService);
  const uid = SAMPLE_UID;
  const answers = [
    await vms.startMicroVM({ uid }),
    await vms.stopMicroVM({ uid, timeout: { seconds: 5n } }),
    await vms.rebootMicroVM({ uid, timeout: {} }),
    await vms.pauseMicroVM({ uid }),
    await vms.resumeMicroVM({ uid }),
  ];
  expect(answers.map(({ microvm }) => microvm?.spec?.uid)).toEqual(Array.from({ length: 5 }, () => uid));
  expect(asked).toEqual([
    ['start', { uid, timeoutMs: 60_000 }],
    ['stop', { uid, timeoutMs: 5_000 }],
    ['reboot', { uid, timeoutMs: 0 }],
    ['pause', { uid, timeoutMs: 60_000 }],
    ['resume', { uid, timeoutMs: 60_000 }],
  ]);
  const error = await failureOf(vms.stopMicroVM({ timeout: { seconds: -1n } }));
  expect(error.code).toBe(Code.InvalidArgument);
  expect(error.rawMessage).toMatch(/uid: must name the microvm to stop.*timeout: must be from 0 s/);
});

test('what is unknown is UNIMPLEMENTED', async () => {
  const { grpc: endpoint } = await startApi();
  const raw = rawClient(endpoint);
  const unknown = { code: grpc.status.UNIMPLEMENTED, details: expect.stringContaining('unknown method') };
  await expect(rawUnary(raw, `${SERVICE}/Fly`, Buffer.alloc(0))).rejects.toMatchObject(unknown);
  await expect(rawUnary(raw, '/no.Such/Service', Buffer.alloc(0))).rejects.toMatchObject(unknown);
});

/** Bytes that are no message: the caller's fault, and no bug of the daemon. */
const unparsed = {
  code: grpc.status.INVALID_ARGUMENT,
  details: expect.stringContaining('Cannot read the message as CreateMicroVMRequest'),
};

test('a message over 4 MiB is RESOURCE_EXHAUSTED, one that is no message is said to be none', async () => {
  const { client, grpc: endpoint } = await startApi();
  const large = 'x'.repeat(5 << 20);
  const error = await failureOf(client(MicroVMService).createMicroVM({ microvm: { id: large } }));
  expect(error.code).toBe(Code.ResourceExhausted);
  const garbage = rawUnary(rawClient(endpoint), `${SERVICE}/CreateMicroVM`, Buffer.from([0xff, 0xff, 0xff, 0xff]));
  await expect(garbage).rejects.toMatchObject(unparsed);
});

test('a caller that goes away in the middle of its message is no bug of the daemon', async () => {
  const { grpc: endpoint, client, log } = await startApi();
  for (const method of ['CreateMicroVM', 'WatchMicroVMs', 'AttachConsole']) {
    const session = connectHttp2(`http://${formatEndpoint(endpoint)}`);
    session.on('error', () => {});
    const headers = { ':method': 'POST', ':path': `${SERVICE}/${method}`, 'content-type': 'application/grpc' };
    const stream = session.request(headers, { endStream: false });
    stream.on('error', () => {});
    await new Promise((done) => stream.write(Buffer.from([0, 0, 0, 1, 0, 1]), done));
    await client(Health).check({}); // so that the first half has arrived
    session.destroy();
  }
  for (let i = 0; i < 5; i++) expect(await client(Health).check({})).toMatchObject({ status: 1 });
  expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
});

test('messages within messages without end are refused, and nothing else happens', async () => {
  const { client, grpc: endpoint } = await startApi();
  const groups = Buffer.alloc(1 << 20, 0x0b);
  await expect(rawUnary(rawClient(endpoint), `${SERVICE}/CreateMicroVM`, groups)).rejects.toMatchObject(unparsed);
  expect(await client(Health).check({})).toMatchObject({ status: 1 });
});

test.each([
  { 'grpc-timeout': '99999999H' },
  { 'grpc-timeout': '35792M' },
  { 'grpc-timeout': '20S' },
  { 'connect-timeout-ms': '9999999999', 'content-type': 'application/proto' },
])('a deadline beyond every timer is none: %j', async (headers) => {
  const warnings: Error[] = [];
  const warn = (warning: Error): void => void warnings.push(warning);
  process.on('warning', warn);
  onTestFinished(() => void process.off('warning', warn));
  const { grpc: endpoint } = await startApi();
  const session = connectHttp2(`http://${formatEndpoint(endpoint)}`);
  onTestFinished(() => session.destroy());
  const path = '/grpc.health.v1.Health/Check';
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', ...headers });
  let status = '';
  stream.on('response', (answer) => {
    status = `${answer[':status']}`;
  });
  stream.on('trailers', (trailers) => {
    status += ` ${trailers['grpc-status']}`;
  });
  stream.resume().end('content-type' in headers ? Buffer.alloc(0) : Buffer.alloc(5));
  await once(stream, 'close');
  expect(status).toMatch(/^200( 0)?$/);
  expect(warnings).toEqual([]);
});

test('a request that never gets whole is told so, and its stream ends', async () => {
  const log = memoryLog();
  const rare = new RareLog(log, clock);
  const door = { log, clock, rare, flow: new Flow(rare), gate: openGate, caller: new CurrentCaller(), calls: () => {} };
  const server = new GrpcServer({
    ...door,
    services: [],
    stopped: new AbortController().signal,
    waits: { requestMs: 50 },
  });
  onTestFinished(() => server.destroy());
  const endpoint = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  const session = connectHttp2(`http://${formatEndpoint(endpoint)}`);
  onTestFinished(() => session.destroy());
  const ask = async (method: string, sent: Buffer): Promise<unknown[]> => {
    const headers = { ':method': 'POST', ':path': method, 'content-type': 'application/grpc', te: 'trailers' };
    const stream = session.request(headers);
    const responded = once(stream, 'response');
    stream.resume().write(sent);
    const [told] = (await responded) as [IncomingHttpHeaders];
    await once(stream, 'close'); // it has not ended its part
    return [told['grpc-status'], stream.rstCode];
  };
  const LATE = [String(Code.DeadlineExceeded), 0];
  expect(await ask('/grpc.health.v1.Health/Check', Buffer.alloc(3))).toEqual(LATE);
  expect(await ask('/grpc.health.v1.Health/Watch', Buffer.alloc(5))).toEqual(LATE); // a message, and no end
  expect(await ask('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', Buffer.alloc(1))).toEqual(LATE);
});

test('an answer without a message is one frame of headers, as proxies expect it', async () => {
  const { grpc: endpoint } = await startApi();
  const session = connectHttp2(`http://${formatEndpoint(endpoint)}`);
  onTestFinished(() => session.destroy());
  const headers = { ':method': 'POST', ':path': `${SERVICE}/GetMicroVM`, 'content-type': 'application/grpc' };
  const stream = session.request({ ...headers, te: 'trailers' });
  stream.on('trailers', () => expect.fail('there are trailers'));
  const responded = once(stream, 'response');
  stream.resume().end(Buffer.alloc(5));
  const [told, flags] = (await responded) as [IncomingHttpHeaders, number];
  expect(flags & constants.NGHTTP2_FLAG_END_STREAM).not.toBe(0);
  expect(told).toMatchObject({ ':status': 200, 'grpc-status': '5', 'x-request-id': expect.any(String) });
  if (!stream.closed) await once(stream, 'close');
});

test.each([
  ['announces 4 GiB', { 'content-type': 'application/grpc' }, '200 8'],
  ['is of no version of the protocol', { 'content-type': 'application/proto', 'connect-protocol-version': '9' }, '400'],
  ['has no deadline that can be read', { 'content-type': 'application/grpc', 'grpc-timeout': 'soon' }, '200 3'],
])('a request that %s is answered before it is read, and its stream ends', async (_, headers, wanted) => {
  const { grpc: endpoint } = await startApi();
  const session = connectHttp2(`http://${formatEndpoint(endpoint)}`);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ':method': 'POST', ':path': `${SERVICE}/CreateMicroVM`, ...headers });
  let answer = '';
  stream.on('response', (head) => {
    answer = `${head[':status']}`;
    // Of an answer without a message the status is among the headers.
    if (head['grpc-status'] !== undefined) answer += ` ${head['grpc-status']}`;
  });
  stream.on('trailers', (trailers) => {
    answer += ` ${trailers['grpc-status']}`;
  });
  stream.on('error', () => {});
  // More than there is a window for.
  stream.resume().end(Buffer.alloc(1 << 20, 0xff));
  await once(stream, 'close');
  expect(answer).toBe(wanted);
  expect(stream.rstCode).toBe(0);
});

test("the caller's deadline and its cancelling end our work", async () => {
  const ended: unknown[] = [];
  let started = 0;
  const { client, log } = await startApi({
    wait: async (_, signal) => {
      started++;
      return untilAborted(signal).catch((reason: unknown) => {
        ended.push(reason);
        throw reason;
      });
    },
  });
  const vms = client(MicroVMService);
  const late = await failureOf(vms.waitMicroVM({ uid: 'u', until: 1 }, { timeoutMs: 500 }));
  expect(late.code).toBe(Code.DeadlineExceeded);
  await expect.poll(() => ended).toHaveLength(1);

  const caller = new AbortController();
  const call = failureOf(vms.waitMicroVM({ uid: 'u', until: 1 }, { signal: caller.signal }));
  await expect.poll(() => started).toBe(2);
  caller.abort();
  expect((await call).code).toBe(Code.Canceled);
  await expect.poll(() => ended).toHaveLength(2);
  expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
});

test('a watcher that does not read stops the source, one that vanishes ends it', async () => {
  let made = 0;
  let ended = 0;
  const { grpc: endpoint } = await startApi({
    async *watch(_, signal) {
      try {
        for (;;) {
          signal.throwIfAborted();
          made++;
          yield { type: 'MODIFIED', vm: sampleVm(), cursor: `e.${made}`, at: 0 };
        }
      } finally {
        ended++;
      }
    },
  });
  const client = rawClient(endpoint);
  const stream = client.makeServerStreamRequest(
    `${SERVICE}/WatchMicroVMs`,
    same,
    same,
    Buffer.from(
      toBinary(WatchMicroVMsRequestSchema, {
        $typeName: 'flintlock.microvm.v1.WatchMicroVMsRequest',
        namespace: '',
        labelSelector: '',
        cursor: '',
      }),
    ),
  );
  stream.on('error', () => {});
  const first = await new Promise<Buffer>((resolve) => stream.once('data', resolve));
  stream.pause();
  expect(fromBinary(MicroVMEventSchema, first).cursor).toBe('e.1');
  let before = -1;
  await expect
    .poll(
      () => {
        const stands = made === before;
        before = made;
        return stands;
      },
      { interval: 100, timeout: 5_000 },
    )
    .toBe(true);
  expect(made).toBeLessThan(5_000);
  client.close();
  stream.cancel();
  await expect.poll(() => ended).toBe(1);
});

test('a bug is INTERNAL, and logged', async () => {
  const { client, log } = await startApi({
    list: async () => {
      throw new TypeError('undefined is not a function');
    },
    async *watch() {
      yield { type: 'BOOKMARK' as const, cursor: 'e.1', at: 0 };
      throw new TypeError('of a stream');
    },
  });
  const error = await failureOf(client(MicroVMService).listMicroVMs({}));
  expect(error).toMatchObject({ code: Code.Internal, rawMessage: expect.not.stringContaining('function') });
  const watched = async () => {
    for await (const _ of client(MicroVMService).watchMicroVMs({}));
  };
  expect((await failureOf(watched())).code).toBe(Code.Internal);
  expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
});

test('the gate is asked before the body is read, on every service', async () => {
  const { client } = await startApi({}, { tokens: tokensOf({ name: 'a', secret: 't' }) });
  const vms = client(MicroVMService);
  const error = await failureOf(vms.createMicroVM({ microvm: { id: 'x'.repeat(5 << 20) } }));
  expect(error).toMatchObject({ code: Code.Unauthenticated, rawMessage: expect.stringContaining('token is needed') });
  expect((await vms.listMicroVMs({}, { headers: { authorization: 'Bearer t' } })).microvm).toHaveLength(1);
});

test('health: of the daemon, of a service, of none; watched', async () => {
  const { client } = await startApi();
  const health = client(Health);
  expect(await health.check({})).toMatchObject({ status: 1 });
  expect(await health.check({ service: MicroVMService.typeName })).toMatchObject({ status: 1 });
  expect((await failureOf(health.check({ service: 'no.Such' }))).code).toBe(Code.NotFound);
  expect((await health.list({})).statuses).toHaveProperty([HostService.typeName]);
  for await (const { status } of health.watch({ service: 'no.Such' })) {
    expect(status).toBe(3);
    break;
  }
});

test.each([ServerReflection, ServerReflectionAlpha])('reflection lists and describes: $typeName', async (version) => {
  const { grpc: endpoint } = await startApi();
  const client = createClient(version as typeof ServerReflection, transportTo(endpoint));
  async function* questions() {
    yield { messageRequest: { case: 'listServices' as const, value: '' } };
    for (const symbol of [
      MicroVMService.typeName,
      'flintlock.types.MicroVMSpec.vcpu',
      `${MicroVMService.typeName}.GetMicroVM`,
      // What comes with an error: grpcurl asks for it.
      'google.rpc.BadRequest',
      'no.Such',
    ])
      yield { messageRequest: { case: 'fileContainingSymbol' as const, value: symbol } };
    yield { messageRequest: { case: 'fileByFilename' as const, value: 'types/microvm.proto' } };
    yield { messageRequest: { case: 'allExtensionNumbersOfType' as const, value: 'flintlock.types.MicroVM' } };
    const extension = { containingType: 'flintlock.types.MicroVM', extensionNumber: 9 };
    yield { messageRequest: { case: 'fileContainingExtension' as const, value: extension } };
    yield {};
  }
  const answers = [];
  for await (const { messageResponse } of client.serverReflectionInfo(questions())) answers.push(messageResponse);
  expect(answers.map((answer) => answer.case)).toEqual([
    'listServicesResponse',
    'fileDescriptorResponse',
    'fileDescriptorResponse',
    'fileDescriptorResponse',
    'fileDescriptorResponse',
    'errorResponse',
    'fileDescriptorResponse',
    'allExtensionNumbersResponse',
    'errorResponse',
    'errorResponse',
  ]);
  const [list, service] = answers;
  if (list?.case !== 'listServicesResponse' || service?.case !== 'fileDescriptorResponse') throw new Error('no answer');
  expect(list.value.service.map(({ name }) => name)).toEqual([
    'flintlock.microvm.v1.MicroVMService',
    'flintlock.microvm.v1.HostService',
    'flintlock.microvm.v1.ImageService',
    'flintlock.microvm.v1.GuestService',
    'microvm.services.api.v1alpha1.MicroVM',
    'microvmexec.services.api.v1alpha1.MicroVMExec',
    'microvmsshproxy.services.api.v1alpha1.MicroVMSSHProxy',
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
  ]);
  const files = service.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  expect(files.map(({ name }) => name)).toContain('types/microvm.proto');
  const spec = files.flatMap((file): DescriptorProto[] => file.messageType).find(({ name }) => name === 'MicroVMSpec');
  expect(spec?.field.find(({ name }) => name === 'vcpu')?.number).toBe(4);
});

test('over a unix socket, by both clients', async () => {
  const { api } = await startApi();
  const endpoint = await api.listenGrpc({ kind: 'unix', path: join(await scratchDirectory(), 'api.sock') });
  const client = createClient(Health, transportTo(endpoint));
  expect(await client.check({})).toMatchObject({ status: 1 });
  await rawUnary(rawClient(endpoint), '/grpc.health.v1.Health/Check', Buffer.alloc(0));
});

test('AttachConsole goes both ways at once, and its first message names the console', async () => {
  const { client } = await startApi();
  const vms = client(MicroVMService);
  const text = async (messages: readonly object[]): Promise<string> => {
    let got = '';
    async function* sent() {
      yield* messages;
    }
    for await (const { data } of vms.attachConsole(sent())) got += Buffer.from(data).toString();
    return got;
  };
  const data = (letters: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(letters));
  expect(await text([{ uid: SAMPLE_UID, data: data('a') }, { data: data('b') }])).toBe('ab');
  await expect(text([])).rejects.toMatchObject({ code: Code.InvalidArgument });
  await expect(text([{ data: data('a') }])).rejects.toMatchObject({ code: Code.InvalidArgument });
  await expect(text([{ uid: SAMPLE_UID, tailBytes: -1n }])).rejects.toMatchObject({ code: Code.InvalidArgument });
  await expect(text([{ uid: SAMPLE_UID }, { uid: SAMPLE_UID }])).rejects.toMatchObject({ code: Code.InvalidArgument });
  await expect(text([{ uid: 'x' }])).rejects.toMatchObject({ code: Code.NotFound });
});

test('a connection that says nothing is hung up on, one that greets is not', async () => {
  const log = memoryLog();
  const door = {
    log,
    clock,
    rare: new RareLog(log, clock),
    flow: new Flow(new RareLog(log, clock)),
    gate: openGate,
    caller: new CurrentCaller(),
    calls: () => {},
  };
  const server = new GrpcServer({
    ...door,
    services: [],
    stopped: new AbortController().signal,
    waits: { firstBytesMs: 100, greetingMs: 100 },
  });
  onTestFinished(() => server.destroy());
  const endpoint = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  const port = endpoint.kind === 'tcp' ? endpoint.port : 0;
  const greeted = connectHttp2(`http://127.0.0.1:${port}`);
  onTestFinished(() => greeted.destroy());
  await once(greeted, 'remoteSettings');
  const silent = connect(port, '127.0.0.1');
  const half = connect(port, '127.0.0.1', () => half.write('PRI * HTTP/2.0\r\n'));
  half.resume();
  silent.resume();
  await Promise.all([once(silent, 'close'), once(half, 'close')]);
  await new Promise((done, fail) => greeted.ping((error) => (error ? fail(error) : done(undefined))));
  expect(greeted.remoteSettings.maxConcurrentStreams).toBe(1_000);
});
