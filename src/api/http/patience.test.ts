import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { memoryLog } from '../../../test/support/memory-log.ts';
import { clock } from '../../host/clock.ts';
import { CurrentCaller } from '../current-caller.ts';
import { formatEndpoint } from '../endpoint.ts';
import { Flow } from '../flow/flow.ts';
import { openGate } from '../gate.ts';
import { opsRoutes } from '../ops/routes.ts';
import { RareLog } from '../rare-log.ts';
import { HttpServer } from './server.ts';

test('a request whose headers never end is answered 408 and hung up on; one that is kept alive is not', async () => {
  const log = memoryLog();
  const server = new HttpServer({
    surfaces: [],
    ops: opsRoutes(() => undefined),
    log,
    rare: new RareLog(log, clock),
    flow: new Flow(new RareLog(log, clock)),
    flows: new WeakMap(),
    stopped: new AbortController().signal,
    gate: openGate,
    caller: new CurrentCaller(),
    calls: () => undefined,
    clock,
    patience: { headersMs: 100, lookMs: 20 },
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
