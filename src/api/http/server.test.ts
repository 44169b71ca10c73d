import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { scratchDirectory, startApi } from '../../../test/support/api.ts';
import { fakeServices, SAMPLE_UID, sampleVm, untilAborted } from '../../../test/support/fake-services.ts';
import { Fault } from '../../domain/fault.ts';
import type { ListRequest, UpdateRequest, WatchRequest } from '../../service/services.ts';

const CREATE = '/v1/namespaces/default/microvms';
const post = (body: string, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  body,
  headers: { 'content-type': 'application/json', ...headers },
});

async function answerOf(call: Promise<Response>): Promise<{ status: number; body: unknown }> {
  const response = await call;
  expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
  return { status: response.status, body: await response.json() };
}

test('create takes camel and snake case, and answers 201 with the whole record', async () => {
  const services = fakeServices();
  const { fetch } = await startApi(services);
  const spec = { id: 'web', memory_in_mb: 64, kernel: { image: 'k', addNetworkConfig: true }, restartPolicy: 'NEVER' };
  const { status, body } = await answerOf(fetch(CREATE, post(JSON.stringify(spec))));
  expect(status).toBe(201);
  expect(body).toMatchObject({
    version: 3,
    spec: { uid: SAMPLE_UID, vcpu: 2, memoryInMb: 256, generation: '1', createdAt: '2023-11-14T22:13:20Z' },
    status: { state: 'PENDING', retry: 0, consoleTail: '' },
  });
  expect(services.created).toMatchObject([
    { id: 'web', namespace: 'default', memoryInMb: 64, restartPolicy: 'NEVER', kernel: { addNetworkConfig: true } },
  ]);
});

test('create takes the header Idempotency-Key, and ?validateOnly answers with the plan', async () => {
  const services = fakeServices();
  const { fetch } = await startApi(services);
  expect((await fetch(CREATE, post('{"id":"web"}', { 'idempotency-key': 'k' }))).status).toBe(201);
  expect(services.options).toMatchObject([{ idempotencyKey: 'k' }]);
  expect(await answerOf(fetch(CREATE, post('{"id":"web"}', { 'idempotency-key': '' })))).toMatchObject({
    status: 400,
    body: { details: [{ fieldViolations: [{ field: 'idempotency_key' }] }] },
  });
  expect(await answerOf(fetch(`${CREATE}?validateOnly=true`, post('{"id":"web"}')))).toMatchObject({
    status: 200,
    body: { plan: ['vmm: start it'], microvm: { spec: { id: 'web', uid: '' } } },
  });
  expect(services.created).toHaveLength(1);
});

test('the namespace of path and body must agree', async () => {
  const { fetch } = await startApi();
  expect((await fetch(CREATE, post('{"namespace":"default"}'))).status).toBe(201);
  expect(await answerOf(fetch(CREATE, post('{"namespace":"other"}')))).toMatchObject({
    status: 400,
    body: { code: 3, details: [{ fieldViolations: [{ field: 'namespace' }] }] },
  });
});

test('a patch changes what it holds, entry by entry, and null takes away', async () => {
  const updates: UpdateRequest[] = [];
  const { fetch } = await startApi({
    update: async (request) => {
      updates.push(request);
      return sampleVm({ generation: 2 });
    },
  });
  const patch = (path: string, body: string) => answerOf(fetch(path, { ...post(body), method: 'PATCH' }));
  const body = '{"labels":{"a":"b","old.example/x":null},"metadata":null,"restartPolicy":"NEVER"}';
  const first = await patch(`${CREATE}/web`, body);
  expect(first).toMatchObject({ status: 200, body: { spec: { generation: '2' } } });
  await patch(`/v1/microvms/${SAMPLE_UID}?expectedGeneration=7`, '{"id":"web","labels":{}}');
  await patch(`/v1/microvms/${SAMPLE_UID}?updateMask=labels,metadata.user-data,restartPolicy`, '{"labels":{"a":"b"}}');
  await patch(`/v1/microvms/${SAMPLE_UID}`, '{"memoryInMb":1,"kernel":{"image":"k"},"createdAt":null}');
  expect(updates).toMatchObject([
    {
      target: { namespace: 'default', id: 'web' },
      draft: { labels: { a: 'b' }, metadata: {}, restartPolicy: 'NEVER' },
      mask: ['labels.a', 'labels.old.example/x', 'metadata', 'restart_policy'],
      expectedGeneration: 0,
    },
    { target: { uid: SAMPLE_UID }, draft: { id: 'web' }, mask: [], expectedGeneration: 7 },
    { draft: { labels: { a: 'b' } }, mask: ['labels', 'metadata.user-data', 'restart_policy'] },
    { mask: ['memory_in_mb', 'kernel', 'created_at'] },
  ]);
  expect(Object.keys(updates[0]?.draft.labels ?? {})).toEqual(['a']);
});

test('a patch that is only planned answers with the plan; one that is none is refused', async () => {
  const { fetch } = await startApi();
  const patch = (path: string, body: string) => answerOf(fetch(path, { ...post(body), method: 'PATCH' }));
  expect(await patch(`${CREATE}/web?validateOnly`, '{"labels":{"app":"web"}}')).toMatchObject({
    status: 200,
    body: { plan: ['labels: set app=web'], microvm: { spec: { id: 'web' } } },
  });
  for (const [body, field] of [
    ['{"uid":"other"}', 'uid'],
    ['{"labls":{}}', 'labls'],
  ] as const)
    expect(await patch(`/v1/microvms/${SAMPLE_UID}`, body)).toMatchObject({
      status: 400,
      body: { details: [{ fieldViolations: [{ field }] }] },
    });
  const deep = `{"labels":{"x":null,"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}}`;
  for (const body of ['', '[]', '{"labels":', '{"labels":{"a":1,"b":null}}', '{"labels":3}', deep])
    expect(await patch(`${CREATE}/web`, body)).toMatchObject({
      status: 400,
      body: { message: expect.stringMatching(/^Cannot read the (body|request)/) },
    });
  expect(await patch(`${CREATE}/web?expectedGeneration=-1`, '{}')).toMatchObject({ status: 400 });
});

test('get, list and delete, by uid and by namespace and id', async () => {
  const lists: ListRequest[] = [];
  const { fetch } = await startApi({
    list: async (request) => {
      lists.push({ ...request });
      return { vms: [sampleVm()], nextPageToken: 'more' };
    },
  });
  for (const path of [`/v1/microvms/${SAMPLE_UID}`, `${CREATE}/web`]) {
    const got = await answerOf(fetch(`${path}?showDeleted=true`));
    expect(got).toMatchObject({ status: 200, body: { status: { state: 'CREATED', reason: 'Running' } } });
    expect(await answerOf(fetch(path, { method: 'DELETE' }))).toEqual({ status: 200, body: {} });
  }
  const query = '?labelSelector=app%20in%20(a,b)&page_size=10&pageToken=t&showDeleted&namespace=n';
  const { body } = await answerOf(fetch(`/v1/microvms${query}`));
  expect(body).toMatchObject({ microvm: [{ spec: { id: 'web' } }], nextPageToken: 'more' });
  await answerOf(fetch(CREATE));
  expect(lists).toMatchObject([
    { namespace: 'n', labelSelector: 'app in (a,b)', pageSize: 10, pageToken: 't', showDeleted: true },
    { namespace: 'default', labelSelector: '', pageSize: 0, pageToken: '', showDeleted: false },
  ]);
});

test('info and audit', async () => {
  const { fetch } = await startApi();
  const info = await answerOf(fetch('/v1/info'));
  expect(info).toMatchObject({
    status: 200,
    body: { providers: [{ name: 'qemu' }], capacity: { memoryInMb: '4096' } },
  });
  expect(await answerOf(fetch('/v1/audit', { method: 'POST' }))).toMatchObject({ body: { leaked: [], fixed: [] } });
  const fixed = await answerOf(fetch('/v1/audit?fix=true', { method: 'POST' }));
  expect(fixed).toMatchObject({ status: 200, body: { fixed: [{ name: 'flabcd0' }] } });
});

test.each([
  ['no JSON', '{"id": ', 'Cannot read the body'],
  ['nothing', '', 'body must hold a MicroVMSpec'],
  ['no object', '[1]', 'Cannot read the body as MicroVMSpec'],
  ['an unknown field', '{"vcpus": 2}', 'key "vcpus" is unknown'],
  ['an unknown field inside', '{"kernel": {"img": "x"}}', 'key "img" is unknown'],
  ['a field twice', '{"id": "a", "id": "b"}', 'Cannot read the body'],
  ['half a CPU', '{"vcpu": 1.5}', 'vcpu'],
  ['a number out of range', '{"memoryInMb": 1e20}', 'memory_in_mb'],
  ['an unknown enum', '{"restartPolicy": "SOMETIMES"}', 'RestartPolicy'],
  ['arrays within arrays', `{"x": ${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 'Cannot read the body'],
  ['arrays in a known field', `{"labels": {"a": ${'['.repeat(10_000)}${']'.repeat(10_000)}}}`, 'Cannot read the body'],
  ['objects in objects', `${'{"kernel":'.repeat(10_000)}1${'}'.repeat(10_000)}`, 'Cannot read the body'],
])('a body that is %s is 400', async (_, text, message) => {
  const { fetch, log } = await startApi();
  const { status, body } = await answerOf(fetch(CREATE, post(text)));
  expect({ status, body }).toMatchObject({ status: 400, body: { code: 3, message: expect.stringContaining(message) } });
  expect((body as { message: string }).message.length).toBeLessThan(500);
  expect(log.lines).toEqual([]);
});

test('an unknown field is named in the details', async () => {
  const { fetch } = await startApi();
  const { body } = await answerOf(fetch(CREATE, post('{"vcpus": 2}')));
  expect(body).toMatchObject({
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.BadRequest',
        fieldViolations: [{ field: 'vcpus', description: 'is no field of MicroVMSpec' }],
      },
    ],
  });
});

test('a body over 4 MiB is 413 RESOURCE_EXHAUSTED, one of another type 415', async () => {
  const { fetch } = await startApi();
  const large = JSON.stringify({ id: 'x'.repeat(5 << 20) });
  expect(await answerOf(fetch(CREATE, post(large)))).toMatchObject({ status: 413, body: { code: 8 } });
  const form = post('{}', { 'content-type': 'application/x-www-form-urlencoded' });
  expect(await answerOf(fetch(CREATE, form))).toMatchObject({
    status: 415,
    body: { code: 3, message: expect.stringContaining('application/json') },
  });
});

test.each([
  ['/v1/microvms?label=a', 'label: is no query parameter'],
  ['/v1/microvms?pageSize=-1', 'pageSize: must be a whole number'],
  ['/v1/microvms?pageSize=99999999999', 'pageSize: must be a whole number'],
  ['/v1/microvms?pageSize=1&page_size=2', 'pageSize: may be given once'],
  ['/v1/microvms?showDeleted=maybe', 'showDeleted: must be true or false'],
  ['/v1/info?x', 'x: is no query parameter'],
  [`${CREATE}?namespace=a`, 'namespace: is no query parameter'],
])('%s is 400', async (path, message) => {
  const { fetch } = await startApi();
  expect(await answerOf(fetch(path))).toMatchObject({
    status: 400,
    body: { code: 3, message: expect.stringContaining(message) },
  });
});

test('faults become status, code and details; a bug tells nothing', async () => {
  const { fetch, log } = await startApi({
    create: async () => {
      throw Fault.invalid([{ field: 'volumes[0].id', description: 'must not be empty' }]);
    },
    delete: async () => {
      throw new Fault('refused', 'two of them');
    },
    list: async () => {
      throw new TypeError('secret');
    },
  });
  expect(await answerOf(fetch(CREATE, post('{}')))).toMatchObject({
    status: 400,
    body: { code: 3, details: [{ fieldViolations: [{ field: 'volumes[0].id' }] }] },
  });
  expect(await answerOf(fetch(`${CREATE}/web`, { method: 'DELETE' }))).toEqual({
    status: 400,
    body: { code: 9, message: 'two of them', details: [] },
  });
  expect(await answerOf(fetch('/v1/microvms/none'))).toMatchObject({
    status: 404,
    body: { code: 5, message: 'MicroVM "none" not found' },
  });
  const bug = await answerOf(fetch('/v1/microvms'));
  expect(bug).toMatchObject({ status: 500, body: { code: 13, message: expect.not.stringContaining('secret') } });
  expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
});

test('the power verbs are posted to, behind a colon, with a timeout or nothing', async () => {
  const asked: unknown[] = [];
  const { fetch } = await startApi({
    power: async (verb, request) => {
      asked.push([verb, request]);
      return sampleVm();
    },
  });
  const verbs = ['start', 'stop', 'reboot', 'pause', 'resume'];
  for (const path of [`/v1/microvms/${SAMPLE_UID}`, `${CREATE}/web`]) {
    for (const verb of verbs) {
      const answer = await answerOf(fetch(`${path}:${verb}`, { method: 'POST' }));
      expect(answer).toMatchObject({ status: 200, body: { spec: { uid: SAMPLE_UID } } });
    }
    expect(asked.splice(0)).toEqual(verbs.map((verb) => [verb, { uid: SAMPLE_UID, timeoutMs: 60_000 }]));
    expect((await fetch(`${path}:stop`, post('{"timeout": "2.5s"}'))).status).toBe(200);
    expect(asked.splice(0)).toEqual([['stop', { uid: SAMPLE_UID, timeoutMs: 2_500 }]]);
    for (const body of ['{"timeout": "-1s"}', '{"uid": "another"}', '{"force": true}', '7'])
      expect(await answerOf(fetch(`${path}:stop`, post(body))), body).toMatchObject({ status: 400, body: { code: 3 } });
  }
  expect(await answerOf(fetch(`${CREATE}/nobody:stop`, { method: 'POST' }))).toMatchObject({ status: 404 });
});

test('what is no path is 404', async () => {
  const { fetch } = await startApi();
  for (const path of ['/v1/microvms/u:fly', '/v1/nothing', `/${'x'.repeat(3_000)}`])
    expect(await answerOf(fetch(path, { method: 'POST' }))).toMatchObject({ status: 404, body: { code: 5 } });
});

test('a path that is there takes its own methods: the answer to others names them', async () => {
  const { fetch } = await startApi();
  const cases = [
    ['PUT', `${CREATE}/web`, 'DELETE, GET, PATCH'],
    ['DELETE', '/v1/microvms', 'GET'],
    ['GET', `${CREATE}/web:stop`, 'POST'],
    ['GET', '/v1/host:cordon', 'POST'],
    ['PATCH', '/v1alpha1/microvm', 'GET, POST'],
    ['HEAD', '/v1/microvms', 'GET'],
  ] as const;
  for (const [method, path, allow] of cases) {
    // Whatever its body is.
    const body = method === 'PUT' ? { body: 'x', headers: { 'content-type': 'text/plain' } } : {};
    const answer = await fetch(path, { method, ...body });
    expect([answer.status, answer.headers.get('allow')], path).toEqual([405, allow]);
    if (method !== 'HEAD')
      expect(await answer.json(), path).toMatchObject({ code: 12, message: `${path} takes ${allow}, not ${method}` });
  }
});

test('a body may begin with a byte order mark', async () => {
  const { fetch } = await startApi({ power: async () => sampleVm() });
  const answer = await fetch(`/v1/microvms/${SAMPLE_UID}:stop`, post('\ufeff{"timeout": "2s"}'));
  expect(answer.status).toBe(200);
});

test('a name that no microVM can have is looked for, whatever it is', async () => {
  const { fetch } = await startApi();
  for (const name of ['..%2F..%2Fetc', 'x'.repeat(300), '%00', 'a%20b', 'constructor'])
    expect(await answerOf(fetch(`${CREATE}/${name}`))).toMatchObject({ status: 404, body: { code: 5 } });
  expect(await answerOf(fetch(`${CREATE}/%zz`))).toMatchObject({ status: 400, body: { code: 3 } });
});

test('the console is its bytes, unaltered', async () => {
  const asked: object[] = [];
  const { fetch } = await startApi({
    async *readConsole(request) {
      asked.push(request);
      if (request.uid !== SAMPLE_UID) throw new Fault('not_found', 'MicroVM not found');
      yield Buffer.from([0, 255, 13, 10]);
    },
  });
  for (const path of [`/v1/microvms/${SAMPLE_UID}`, `${CREATE}/web`]) {
    const response = await fetch(`${path}/console?tailBytes=100`);
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([0, 255, 13, 10]);
  }
  expect(asked).toEqual(Array(2).fill({ uid: SAMPLE_UID, follow: false, tailBytes: 100 }));
  expect(await answerOf(fetch('/v1/microvms/none/console'))).toMatchObject({ status: 404, body: { code: 5 } });
  expect((await fetch(`${CREATE}/none/console`)).status).toBe(404);
});

test('a console that fails in the middle is cut, so that nobody takes it for whole', async () => {
  const { fetch } = await startApi({
    async *readConsole() {
      yield Buffer.from('half');
      throw new Fault('tool', 'the disk is gone');
    },
  });
  const response = await fetch(`/v1/microvms/${SAMPLE_UID}/console`);
  await expect(response.text()).rejects.toThrow();
});

test('a follower that does not read stops the source, and its going ends it', async () => {
  let sent = 0;
  let ended = false;
  const { http } = await startApi({
    async *readConsole(_, signal) {
      try {
        for (;;) {
          signal.throwIfAborted();
          sent++;
          yield Buffer.alloc(65_536);
        }
      } finally {
        ended = true;
      }
    },
  });
  const socket = connect(http.kind === 'tcp' ? http.port : 0, '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  socket.write(`GET /v1/microvms/u/console?follow HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  let before = -1;
  await expect
    .poll(
      () => {
        const stands = sent > 0 && sent === before;
        before = sent;
        return stands;
      },
      { interval: 100, timeout: 5_000 },
    )
    .toBe(true);
  expect(sent).toBeLessThan(1_000);
  socket.destroy();
  await expect.poll(() => ended).toBe(true);
});

test('watch: server-sent events, and the last one seen is the cursor', async () => {
  const asked: WatchRequest[] = [];
  const { fetch } = await startApi({
    async *watch(request) {
      asked.push(request);
      yield { type: 'ADDED', vm: sampleVm(), cursor: 'e.1', at: 0 };
      yield { type: 'BOOKMARK', cursor: 'e.2', at: 0 };
    },
  });
  const response = await fetch('/v1/watch?namespace=n&labelSelector=a&cursor=e.0', {
    headers: { 'Last-Event-ID': 'e.7' },
  });
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const [added = '', bookmark = ''] = (await response.text()).split('\n\n');
  expect(added).toMatch(/^event: ADDED\nid: e\.1\ndata: \{/);
  expect(JSON.parse(added.split('data: ')[1] ?? '')).toMatchObject({ type: 'ADDED', microvm: { spec: { id: 'web' } } });
  expect(bookmark).toMatch(/^event: BOOKMARK\nid: e\.2\n/);
  await fetch('/v1/watch?cursor=e.0');
  expect(asked).toEqual([
    { namespace: 'n', labelSelector: 'a', cursor: 'e.7' },
    { namespace: '', labelSelector: '', cursor: 'e.0' },
  ]);
});

test('watch: refused before its first event by status, after it by an event; quiet, it begins all the same', async () => {
  let fail = true;
  const gone = Promise.withResolvers<unknown>();
  const { fetch } = await startApi({
    async *watch({ cursor }, signal) {
      if (fail) throw new Fault('expired', 'too old: list again');
      if (cursor === 'quiet') await untilAborted(signal).catch((reason: unknown) => gone.resolve(reason));
      yield { type: 'BOOKMARK', cursor: 'e.1', at: 0 };
      throw new Fault('expired', 'too slow: list again');
    },
  });
  expect(await answerOf(fetch('/v1/watch'))).toMatchObject({ status: 400, body: { code: 11 } });
  fail = false;
  expect(await (await fetch('/v1/watch')).text()).toMatch(
    /event: error\ndata: \{"code":11,"message":"too slow: list again"/,
  );
  const caller = new AbortController();
  expect((await fetch('/v1/watch?cursor=quiet', { signal: caller.signal })).status).toBe(200);
  caller.abort();
  expect(await gone.promise).toMatchObject({ kind: 'cancelled' });
});

test('a quiet watch says that it lives, and an empty Last-Event-ID is none', async () => {
  const cursors: string[] = [];
  const { fetch } = await startApi(
    {
      async *watch({ cursor }, signal) {
        cursors.push(cursor);
        yield { type: 'BOOKMARK', cursor: 'e.1', at: 0 };
        await untilAborted(signal);
      },
    },
    { keepAliveMs: 10 },
  );
  const response = await fetch('/v1/watch?cursor=e.0', { headers: { 'last-event-id': '' } });
  let text = '';
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += piece;
    if (text.includes(': still there\n\n: still there')) break;
  }
  expect(text).toMatch(/^event: BOOKMARK\nid: e\.1\ndata: .*\n\n(: still there\n\n)+/);
  expect(cursors).toEqual(['e.0']);
});

test('healthz is about the process, readyz about its work', async () => {
  let missing: string | undefined = 'the network is not there yet';
  const { fetch } = await startApi({}, { ready: () => missing, tokens: () => [] });
  expect([(await fetch('/healthz')).status, (await fetch('/readyz')).status]).toEqual([200, 503]);
  expect(await (await fetch('/readyz')).text()).toBe('the network is not there yet\n');
  missing = undefined;
  expect((await fetch('/readyz')).status).toBe(200);
  expect(await answerOf(fetch('/v1/info'))).toMatchObject({
    status: 401,
    body: { code: 16, message: expect.stringContaining('token is needed') },
  });
});

test('a page of another site is kept out', async () => {
  const { fetch, http } = await startApi();
  const origin = { origin: 'http://evil.example' };
  const refused = fetch('/v1/audit?fix=true', { method: 'POST', headers: origin });
  expect(await answerOf(refused)).toMatchObject({ status: 403, body: { code: 7 } });
  const own = { origin: `http://127.0.0.1:${http.kind === 'tcp' ? http.port : 0}` };
  expect((await fetch('/v1/audit', { method: 'POST', headers: own })).status).toBe(200);
});

test('over a unix socket', async () => {
  const { api } = await startApi();
  const socketPath = join(await scratchDirectory(), 'http.sock');
  await api.listenHttp({ kind: 'unix', path: socketPath });
  const request = httpRequest({ socketPath, path: '/v1/info', agent: false });
  request.end();
  const [response] = await once(request, 'response');
  expect(response.statusCode).toBe(200);
  response.resume();
});

test('a caller that goes away in the middle of its body is no bug of the daemon', async () => {
  const { http, log, fetch } = await startApi();
  if (http.kind !== 'tcp') throw new Error('the listener of the tests is on TCP');
  const socket = connect(http.port, http.host);
  socket.write(
    'POST /v1/namespaces/default/microvms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n',
  );
  socket.write('Content-Length: 100\r\n\r\n{"id":', () => setImmediate(() => socket.destroy()));
  await once(socket, 'close');
  // What came later on another connection is answered after what the first left.
  for (let i = 0; i < 5; i++) expect((await fetch('/v1/info')).status).toBe(200);
  expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
});
