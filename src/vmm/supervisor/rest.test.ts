import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { RestSocket } from './rest.ts';

const path = `/tmp/flintlock-rest-${process.pid}.sock`;
let server: Server | undefined;
let rest: RestSocket | undefined;
let sockets: Socket[] = [];

afterEach(async () => {
  rest?.close();
  const { promise, resolve } = Promise.withResolvers<void>();
  server?.close(() => resolve());
  if (server) await promise;
  server = undefined;
  sockets = [];
  await rm(path, { force: true });
});

/** Answers each piece that comes with the next of `answers`; after the last it closes. @returns what came */
async function serve(...answers: string[]): Promise<{ readonly came: string[]; readonly connections: () => number }> {
  const came: string[] = [];
  let connections = 0;
  server = createServer((socket) => {
    connections++;
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      came.push(data.toString());
      const next = answers.shift();
      if (next === undefined) socket.destroy();
      else socket.write(next);
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(path, resolve);
  await promise;
  rest = new RestSocket(path, 'a VMM');
  return { came, connections: () => connections };
}

const never = new AbortController().signal;

test('a status line without a reason is one, and the connection is kept', async () => {
  const { came, connections } = await serve(
    'HTTP/1.1 204 \r\nServer: V\r\nConnection: keep-alive\r\n\r\n',
    'HTTP/1.1 200 \r\nContent-Length: 7\r\n\r\n{"a":1}',
  );
  expect(await rest?.ask('PUT', '/a', never, { b: 'é' })).toEqual({ status: 204, text: '' });
  expect(await rest?.ask('GET', '/c', never)).toEqual({ status: 200, text: '{"a":1}' });
  expect(came[0]).toMatch(/^PUT \/a HTTP\/1\.1\r\n.*content-length: 10\r\n.*\{"b":"é"\}$/is);
  expect(connections()).toBe(1);
});

test('who waits for its end sees it without asking', async () => {
  await serve('HTTP/1.1 204 \r\n\r\n', '');
  let isClosed = false;
  void rest?.closed.then(() => {
    isClosed = true;
  });
  await rest?.ask('GET', '/', never);
  await turnOfTheLoop();
  expect(isClosed).toBe(false);
  for (const socket of sockets) socket.destroy();
  await rest?.closed;
  rest = new RestSocket(path, 'a VMM');
  rest.close();
  await rest.closed;
});

test('requests go one after the other', async () => {
  const { came } = await serve('HTTP/1.1 204 \r\n\r\n', 'HTTP/1.1 204 \r\n\r\n', 'HTTP/1.1 204 \r\n\r\n');
  await Promise.all(['/1', '/2', '/3'].map((to) => rest?.ask('GET', to, never)));
  expect(came.map((one) => one.split(' ')[1])).toEqual(['/1', '/2', '/3']);
});

test('who is not there, ends or is no HTTP server does not answer', async () => {
  rest = new RestSocket(path, 'a VMM');
  await expect(rest.ask('GET', '/', never)).rejects.toMatchObject({ kind: 'tool', reason: 'VmmUnreachable' });
  rest.close();
  await serve('SSH-2.0\r\n');
  await expect(rest.ask('GET', '/', never)).rejects.toThrow(/a VMM does not answer GET \/ on/);
  await expect(rest.ask('GET', '/', never)).rejects.toThrow(/a VMM does not answer/);
});

test('an answer without end is left', async () => {
  const length = (1 << 20) + 1;
  await serve(`HTTP/1.1 200 \r\nContent-Length: ${length}\r\n\r\n${'x'.repeat(length)}`);
  await expect(rest?.ask('GET', '/', never)).rejects.toThrow(/over 1048576 bytes/);
});

test('a signal ends the wait with its reason', async () => {
  await serve('');
  const why = new Error('enough');
  const stop = new AbortController();
  const asked = rest?.ask('GET', '/', stop.signal);
  stop.abort(why);
  await expect(asked).rejects.toBe(why);
});
