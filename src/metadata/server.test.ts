import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { seedOf } from './seed.ts';
import { type ClosableMetadataServer, createMetadataServer, type Limits } from './server.ts';
import { createTokens } from './tokens.ts';

const ADDRESS = '127.0.0.1';
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one.close();
});

async function served(limits: Partial<Limits> = {}) {
  const clock = new FakeClock();
  const uids = new Set(['A', 'B']);
  const server = createMetadataServer({
    seed: (uid) => {
      if (uid === 'broken') throw new Error('a bug');
      const metadata = { 'user-data': Buffer.from(`data of ${uid}`).toString('base64') };
      return uids.has(uid) ? seedOf({ uid, metadata, volumes: [], nics: [] }) : undefined;
    },
    tokens: createTokens(Buffer.alloc(32), clock),
    clock,
    log: silent,
    limits,
  });
  opened.push(server);
  const [a, b] = [await listen(server, 'A'), await listen(server, 'B')];
  return { server, clock, uids, a, b };
}

/** On a port that nobody has: the kernel's choice, given back. */
async function listen(server: ClosableMetadataServer, uid: string): Promise<number> {
  for (let i = 0; ; i++) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    try {
      await server.serve(uid, { address: ADDRESS, port });
      return port;
    } catch (error) {
      if (i === 20) throw error;
    }
  }
}

/** What comes back until the other side closes. */
function talk(port: number, request: string): { readonly socket: Socket; readonly answer: Promise<string> } {
  const socket = connect(port, ADDRESS);
  opened.push({ close: () => socket.destroy() });
  let text = '';
  const answer = new Promise<string>((done) => {
    socket.on('data', (data) => {
      text += data.toString();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => done(text));
  });
  socket.write(request);
  return { socket, answer };
}
const get = (port: number, path = '/latest/user-data'): Promise<string> =>
  talk(port, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).answer;

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (what()) return;
    await new Promise((done) => setTimeout(done, 5));
  }
  throw new Error(`never: ${what}`);
}

test('whose metadata it is says the port alone, and each connection ends with its answer', async () => {
  const { a, b, server, clock } = await served();
  expect(await get(a)).toMatch(/^HTTP\/1.1 200 OK\r\n.*connection: close.*\r\n\r\ndata of A$/is);
  expect(await get(b)).toMatch(/data of B$/);
  // Two requests at once on one connection: the second is not served.
  const two = 'GET /latest/user-data HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2);
  expect((await talk(a, two).answer).match(/data of A/g)).toHaveLength(1);
  expect(await talk(a, 'GET /latest/user-data HTTP/1.0\r\nConnection: keep-alive\r\n\r\n').answer).toMatch(
    /data of A$/,
  );
  await until(() => server.connections === 0);
  expect(clock.waiting).toBe(0);
});

test('a token is put and used', async () => {
  const { a } = await served();
  const put =
    'PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nX-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\n\r\n';
  const token = (await talk(a, put).answer).split('\r\n\r\n')[1];
  const ask = (value: string) =>
    talk(a, `GET /latest/user-data HTTP/1.1\r\nHost: x\r\nX-metadata-token: ${value}\r\n\r\n`).answer;
  expect(await ask(String(token))).toMatch(/data of A$/);
  expect(await ask('other')).toMatch(/^HTTP\/1.1 401 /);
});

test('who is gone has nothing, and a bug costs one answer', async () => {
  const { a, uids, server } = await served();
  uids.delete('A');
  expect(await get(a)).toMatch(/^HTTP\/1.1 404 /);
  const broken = await listen(server, 'broken');
  expect(await get(broken)).toMatch(/^HTTP\/1.1 500 /);
  uids.add('A');
  expect(await get(a)).toMatch(/data of A$/);
});

describe('a hostile guest', () => {
  test.each([
    ['nonsense', '\0\0\0\r\n\r\n', /^HTTP\/1.1 400 /],
    ['a header without end', `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`, /^HTTP\/1.1 4\d\d /],
    ['two lengths', 'PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', /^HTTP\/1.1 400 /],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n', /^(HTTP\/1.1 4\d\d .*)?/],
    ['an upgrade', 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', /^HTTP\/1.1 200 /],
    [
      'a body without end',
      `PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n${'x'.repeat(9999)}`,
      /^HTTP\/1.1 404 /,
    ],
  ])('that sends %s', async (_, request, expected) => {
    const { a, b, server } = await served();
    expect(await talk(a, request).answer).toMatch(expected);
    expect(await get(b)).toMatch(/data of B$/);
    await until(() => server.connections === 0);
  });

  test('that sends half a request, or reads no answer, is cut off in time', async () => {
    const { a, server, clock } = await served();
    const half = talk(a, 'GET / HTTP/1.1\r\nHos');
    const silent = talk(a, '');
    await until(() => server.connections === 2);
    clock.advance(4_999);
    await new Promise((done) => setTimeout(done, 20));
    expect(server.connections).toBe(2);
    clock.advance(1);
    expect(await half.answer).toBe('');
    expect(await silent.answer).toBe('');
    await until(() => server.connections === 0);
  });

  test('that opens connections without end has its share of them, and leaves the others theirs', async () => {
    const { a, b, server, uids } = await served({ connectionsEach: 3, connections: 4 });
    let refused = 0;
    // No more than the backlog holds: the kernel would answer the others a second later.
    for (let i = 0; i < 50; i++)
      void talk(a, '').answer.then((text) => {
        if (text === '') refused++;
      });
    await until(() => refused === 47);
    expect(server.connections).toBe(3);
    expect(await get(b)).toMatch(/data of B$/);

    // All together have the rest, and beyond it each may have one.
    uids.add('C');
    const c = await listen(server, 'C');
    talk(b, '');
    await until(() => server.connections === 4);
    expect(await get(c)).toMatch(/data of C$/);
    expect(await get(b)).toBe('');
  });
});

describe('listening', () => {
  test('twice is as once, elsewhere is a move, and an end cuts off who is connected', async () => {
    const { server, a } = await served();
    await server.serve('A', { address: ADDRESS, port: a });
    expect(await get(a)).toMatch(/data of A$/);
    const open = talk(a, '');
    await until(() => server.connections === 1);
    const moved = await listen(server, 'A');
    expect(await open.answer).toBe('');
    expect(await get(moved)).toMatch(/data of A$/);
    await expect(get(a)).resolves.toBe('');
    await server.unserve('A', ADDRESS);
    await server.unserve('A', ADDRESS);
    expect(await get(moved)).toBe('');
  });

  test('one that is served at two addresses has both until each ends', async () => {
    const { server, a } = await served();
    await server.serve('A', { address: '127.0.0.2', port: a });
    expect(await get(a)).toMatch(/data of A$/);
    await server.unserve('A', '127.0.0.2');
    expect(await get(a)).toMatch(/data of A$/);
    await server.unserve('A', ADDRESS);
    expect(await get(a)).toBe('');
  });

  test('a port of others is told as such', async () => {
    const { server, a } = await served();
    await expect(server.serve('C', { address: ADDRESS, port: a })).rejects.toMatchObject({
      kind: 'conflict',
      reason: 'NetworkFailed',
      message: expect.stringContaining('another program listens there'),
    });
    expect(await get(a)).toMatch(/data of A$/);
  });
});
