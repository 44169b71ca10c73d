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
import { patientWaits, WAITS } from '../waits.ts';
import { HttpServer } from './server.ts';

test('on a slow host callers have as many times as long for each part of a request', () => {
  const [usual, slow] = [patientWaits(1), patientWaits(10)];
  expect(usual).toEqual(WAITS);
  expect(slow).toEqual({
    ...{ firstBytesMs: 100_000, handshakeMs: 100_000, greetingMs: 300_000, headersMs: 100_000, requestMs: 300_000 },
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
  late.write('GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ');
  const silent = [dial(http), dial(grpc)];
  for (const one of silent) one.resume();
  await Promise.all([late, ...silent].map((one) => once(one, 'close')));
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
});

test('a request whose headers never end is answered 408 and hung up on; one that is kept alive is not', async () => {
  const log = memoryLog();
  const server = new HttpServer({
    surfaces: [],
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
    waits: { headersMs: 100 },
  });
  onTestFinished(async () => {
    server.destroy();
    await server.close();
  });
  const endpoint = await server.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  const socket = connect(endpoint.kind === 'tcp' ? endpoint.port : 0, '127.0.0.1');
  let answer = '';
  socket.on('data', (data: Buffer) => {
    answer += data.toString();
  });
  socket.write('GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ');
  await once(socket, 'close');
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  const answered = await fetch(`http://${formatEndpoint(endpoint)}/healthz`);
  expect([answered.status, await answered.text()]).toEqual([200, 'ok\n']);
});
