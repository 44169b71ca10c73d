import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { type AgentProcess, startAgent } from '../../test/support/agent-process.ts';
import { createMeetAgent } from '../agent/agent.ts';
import type { HealthQuestion } from '../domain/health.ts';
import { askGuest } from '../engine/ask-guest.ts';
import { clock } from '../host/clock.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';

const never = new AbortController().signal;

/** By a vsock's connections, or a port: what is asked goes over both. */
async function meet(process: AgentProcess, by: 'port' | 'vsock'): Promise<GuestAgent> {
  const way =
    by === 'port'
      ? ({ is: 'channel', channel: await process.channel() } as const)
      : ({ is: 'connections', dial: process.dial } as const);
  const { agent, close } = await createMeetAgent({ clock, randomBytes })(way, () => true, never);
  onTestFinished(close);
  return agent;
}

async function portOf(server: Server, host = '127.0.0.1'): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => undefined)));
  server.listen({ host, port: 0 });
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const ask = (agent: GuestAgent, question: HealthQuestion, signal = never): Promise<string | undefined> =>
  askGuest(
    { ...question, ...{ intervalMs: 1_000, timeoutMs: 5_000, failures: 1, startMs: 0 } },
    agent,
    (start) => start,
    signal,
  );

const http = (port: number, path = '/', headers = {}): HealthQuestion => ({ http: { port, path, headers } });

test.each(['port', 'vsock'] as const)('servers of a guest are asked by the agent, over a %s', async (by) => {
  await using process = await startAgent();
  const agent = await meet(process, by);
  const asked: unknown[] = [];
  let wasCutOff = false;
  const answer: RequestListener = (request, response) => {
    const { url, headers } = request;
    asked.push([url, headers.host, headers['x-key']]);
    // Of a client that ends its own half early.
    request.socket.on('end', () => {
      wasCutOff ||= !response.writableFinished;
    });
    response.writeHead(url === '/moved' ? 302 : url === '/sick' ? 503 : 200, { Location: '/sick' });
    setImmediate(() => response.end('x'.repeat(1 << 20)));
  };
  const port = await portOf(createHttpServer(answer));
  expect(await ask(agent, http(port, '/up?full=1', { 'X-Key': 'k' }))).toBeUndefined();
  expect(await ask(agent, http(port, '/moved', { Host: 'shop.example' }))).toBeUndefined();
  expect(await ask(agent, http(port, '/sick'))).toBe(
    `GET /sick at port ${port} was answered with 503 Service Unavailable`,
  );
  expect(asked).toEqual([
    ['/up?full=1', `localhost:${port}`, 'k'],
    ['/moved', 'shop.example', undefined],
    ['/sick', `localhost:${port}`, undefined],
  ]);
  expect(wasCutOff).toBe(false);
  expect(await ask(agent, { tcp: { port } })).toBeUndefined();
});

test('a server on ::1 alone is found, too', async () => {
  await using process = await startAgent();
  const agent = await meet(process, 'vsock');
  const port = await portOf(createServer(), '::1');
  expect(await ask(agent, { tcp: { port } })).toBeUndefined();
});

test('who is no server, or speaks no HTTP, or hangs up, is told', async () => {
  await using process = await startAgent();
  const agent = await meet(process, 'vsock');
  const greets = await portOf(createServer((socket) => void socket.end('220 mail.example ESMTP\r\n')));
  expect(await ask(agent, http(greets))).toBe(
    `GET / at port ${greets} was not answered in HTTP: 220 mail.example ESMTP`,
  );
  const hangsUp = await portOf(createServer((socket) => void socket.resume().end()));
  expect(await ask(agent, http(hangsUp))).toBe(`GET / at port ${hangsUp} was not answered: the server hung up`);
  const gone = createServer();
  const nobody = await portOf(gone);
  gone.close();
  await once(gone, 'close');
  expect(await ask(agent, { tcp: { port: nobody } })).toBe(`port ${nobody}: nobody listens there`);
  expect(await ask(agent, http(nobody))).toBe(`port ${nobody}: nobody listens there`);
});

test('one that says nothing is left when the time is over', async () => {
  await using process = await startAgent();
  const agent = await meet(process, 'vsock');
  const came = Promise.withResolvers<Socket>();
  const port = await portOf(createServer(came.resolve));
  const late = new AbortController();
  const answer = ask(agent, http(port), late.signal);
  const socket = await came.promise;
  const closed = once(socket.resume(), 'close');
  late.abort(new Error('no answer came within 5 s'));
  await expect(answer).rejects.toThrow('no answer came within 5 s');
  await closed;
});
