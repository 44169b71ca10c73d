import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startApi } from '../../../test/support/api.ts';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { clock } from '../../host/clock.ts';
import { CurrentCaller } from '../current-caller.ts';
import { type Endpoint, formatEndpoint } from '../endpoint.ts';
import { Flow } from '../flow/flow.ts';
import { openGate } from '../gate.ts';
import { opsRoutes } from '../ops/routes.ts';
import { RareLog } from '../rare-log.ts';
import { patientWaits, WAITS, type Waits } from '../waits.ts';
import { HttpServer, type Routes, UPLOAD } from './server.ts';

test('on a slow host callers have as many times as long for each part of a request', () => {
  const [usual, slow] = [patientWaits(1), patientWaits(10)];
  expect(usual).toEqual(WAITS);
  expect(slow).toEqual({
    ...{ firstBytesMs: 100_000, handshakeMs: 100_000, greetingMs: 300_000, headersMs: 100_000, requestMs: 300_000 },
    pongMs: 200_000,
  });
});

test('the API gives that to its listeners', async () => {
  const { http, grpc } = await startApi({}, { patience: 0.005 });
  const dial = (endpoint: Endpoint) => connect(endpoint.kind === 'tcp' ? endpoint.port : 0, '127.0.0.1');
  const late = dial(http);
  let answer = '';
  late.on('data', (data: Buffer) => {
    answer += data.toString();
  });
  late.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ');
  const silent = [dial(http), dial(grpc)];
  for (const one of silent) one.resume();
  await Promise.all([late, ...silent].map((one) => once(one, 'close')));
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});

async function serve(surfaces: readonly Routes[], waits: Partial<Waits>): Promise<Endpoint> {
  const log = memoryLog();
  const server = new HttpServer({
    surfaces,
    ops: opsRoutes(() => undefined),
    log,
    rare: new RareLog(log, clock),
    flow: new Flow(new RareLog(log, clock)),
    flows: new WeakMap(),
    upgrades: new WeakMap(),
    stopped: new AbortController().signal,
    gate: openGate,
    caller: new CurrentCaller(),
    calls: () => undefined,
    clock,
    waits,
  });
  onTestFinished(async () => {
    server.destroy();
    await server.close();
  });
  return server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
}

test('a request whose body never ends is answered 408 and hung up on; one that goes on is not', async () => {
  const uploads: Routes = (app) =>
    void app.register(async (own) => {
      own.removeAllContentTypeParsers();
      own.addContentTypeParser('*', (_request, body, done) => done(null, body));
      own.put('/up', UPLOAD, async ({ body }) => {
        let text = '';
        for await (const piece of body as AsyncIterable<Buffer>) text += String(piece);
        return text;
      });
    });
  const endpoint = await serve([uploads, (app) => void app.post('/other', async () => 'whole')], { requestMs: 300 });
  const begin = (method: string, path: string) => {
    const socket = connect(endpoint.kind === 'tcp' ? endpoint.port : 0, '127.0.0.1');
    const said = { text: '' };
    socket.on('data', (data: Buffer) => {
      said.text += String(data);
    });
    const head = `host: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 10`;
    socket.write(`${method} ${path} HTTP/1.1\r\n${head}\r\n\r\nbegun`);
    return { socket, said };
  };
  const upload = begin('PUT', '/up');
  const other = begin('POST', '/other'); // begun later, and over first
  await once(other.socket, 'close');
  expect(other.said.text).toMatch(/^HTTP\/1\.1 408 /);
  upload.socket.write('ended');
  await once(upload.socket, 'close');
  expect(upload.said.text).toMatch(/^HTTP\/1\.1 200 [\s\S]*begunended$/);
});

test('a request whose headers never end is answered 408 and hung up on; one that is kept alive is not', async () => {
  const endpoint = await serve([], { headersMs: 100 });
  const socket = connect(endpoint.kind === 'tcp' ? endpoint.port : 0, '127.0.0.1');
  let answer = '';
  socket.on('data', (data: Buffer) => {
    answer += data.toString();
  });
  socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ');
  await once(socket, 'close');
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  const answered = await fetch(`http://${formatEndpoint(endpoint)}/healthz`);
  expect([answered.status, await answered.text()]).toEqual([200, 'ok\n']);
});
