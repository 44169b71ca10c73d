import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startApi, type TestApi, tokensOf } from '../../../test/support/api.ts';
import { SAMPLE_UID, untilAborted } from '../../../test/support/fake-services.ts';
import { Fault } from '../../domain/fault.ts';
import type { ExecInput } from '../../ports/guest-agent.ts';
import type { ExecWanted } from '../../service/exec.ts';
import { formatEndpoint } from '../endpoint.ts';

const PATH = `/v1/microvms/${SAMPLE_UID}/exec`;

interface Talk {
  readonly socket: WebSocket;
  /** What comes: texts as what their JSON says, bytes as their stream's number and text. */
  next(): Promise<unknown>;
  say(message: object): void;
  type(text: string): void;
  readonly closed: Promise<{ code: number }>;
}

/** By Node's own client, which is that of browsers. */
async function talk(api: TestApi, path = PATH, protocols: string[] = [], headers = {}): Promise<Talk> {
  const options = { protocols, headers };
  const socket = new WebSocket(`ws://${formatEndpoint(api.http)}${path}`, options as unknown as string[]);
  onTestFinished(() => socket.close());
  socket.binaryType = 'arraybuffer';
  const came: unknown[] = [];
  let wake = (): void => undefined;
  socket.addEventListener('message', ({ data }) => {
    came.push(typeof data === 'string' ? JSON.parse(data) : [new Uint8Array(data)[0], Buffer.from(data, 1).toString()]);
    wake();
  });
  const closed = new Promise<{ code: number }>((resolve) =>
    socket.addEventListener('close', ({ code }) => resolve({ code })),
  );
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve());
    socket.addEventListener('error', () => reject(new Error('no WebSocket')));
  });
  const next = async (): Promise<unknown> => {
    while (came.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return came.shift();
  };
  return {
    ...{ socket, next, closed },
    say: (message) => socket.send(JSON.stringify(message)),
    type: (text) => socket.send(Buffer.from(`\0${text}`)),
  };
}

/** Answers each line that it reads on both streams, and ends with what has come. */
async function* echo(wanted: ExecWanted, input: AsyncIterable<ExecInput>) {
  const said: string[] = [wanted.uid, wanted.start.command];
  for await (const one of input) {
    if (one.is === 'stdin end') break;
    if (one.is !== 'stdin') said.push(JSON.stringify(one));
    else {
      yield { is: 'stdout' as const, data: one.data };
      yield { is: 'stderr' as const, data: Buffer.from('!') };
    }
  }
  yield { is: 'stdout' as const, data: Buffer.from(said.join(' ')) };
  yield { is: 'exit' as const, code: 7, timedOut: false };
}

test.each([PATH, '/v1/namespaces/default/microvms/web/exec'])(
  '%s: a program reads what is sent while it runs',
  async (path) => {
    const calls: unknown[] = [];
    const api = await startApi({ exec: echo }, { calls: (call) => void calls.push(call) });
    const { socket, say, type, next, closed } = await talk(api, path, ['flintlock.exec.v1', 'another']);
    expect(socket.protocol).toBe('flintlock.exec.v1');
    say({ start: { command: 'cat', has_stdin: true, terminal: { size: { rows: 24, columns: 80 } } } });
    for (const line of ['one', 'zwei ü', 'x'.repeat(100_000)]) {
      type(line);
      expect([await next(), await next()]).toEqual([
        [1, line],
        [2, '!'],
      ]);
    }
    say({ resize: { rows: 0, columns: 9 } });
    say({ signal: 2 });
    say({ stdinEof: true });
    expect(await next()).toEqual([
      1,
      `${SAMPLE_UID} cat {"is":"resize","rows":0,"columns":9} {"is":"signal","number":2}`,
    ]);
    expect(await next()).toEqual({ exit: { code: 7, timedOut: false } });
    expect(await closed).toEqual({ code: 1000 });
    await expect.poll(() => calls).toMatchObject([{ surface: 'http', code: '101' }]);
  },
);

test('its own failure is told as everywhere, and is the last', async () => {
  const api = await startApi({
    async *exec() {
      yield { is: 'stderr', data: Buffer.from('a') };
      throw new Fault('tool', 'The guest went away');
    },
  });
  const { say, next, closed } = await talk(api);
  say({ start: { command: 'x' } });
  expect(await next()).toEqual([2, 'a']);
  expect(await next()).toMatchObject({ error: { message: expect.stringContaining('The guest went away') } });
  expect(await closed).toEqual({ code: 1011 });
});

test.each<[string, string | Uint8Array, RegExp]>([
  ['no JSON', 'x', /Cannot read the body as ExecRequest/],
  ['nothing', '', /must hold a ExecRequest/],
  ['no start', '{"signal":2}', /start: must say what to run/],
  ['no command', '{"start":{}}', /start\.command/],
  ['a field that there is not', '{"start":{"cmd":"a"}}', /"cmd" is unknown/],
  ['another uid', '{"start":{"command":"a","uid":"b"}}', /start\.uid: is "b"/],
  ['input before the start', Uint8Array.of(0, 1), /start: must say/],
  ['another stream', Uint8Array.of(1, 1), /is 1, and must be 0/],
  ['no bytes', new Uint8Array(), /is missing/],
])('%s first is refused', async (_, message, why) => {
  const { socket, next, closed } = await talk(await startApi());
  socket.send(message);
  expect(await next()).toMatchObject({ error: { message: expect.stringMatching(why) } });
  expect(await closed).toEqual({ code: 1011 });
});

test('a message that is too long ends it', async () => {
  const { socket, closed } = await talk(await startApi());
  socket.send(new Uint8Array((256 << 10) + 1));
  expect(await closed).toEqual({ code: 1009 });
});

test('a caller that closes, or is gone, ends what it ran', async () => {
  for (const way of ['close', 'gone'] as const) {
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const api = await startApi({
      async *exec(_request, _input, signal) {
        begun.resolve();
        yield { is: 'stdout', data: Buffer.from('begun') };
        await untilAborted(signal).finally(ended.resolve);
      },
    });
    if (way === 'close') {
      const { socket, say } = await talk(api);
      say({ start: { command: 'sleep' } });
      await begun.promise;
      socket.close();
    } else {
      const raw = await rawSocket(api);
      raw.write(frame(1, Buffer.from('{"start":{"command":"sleep"}}')));
      await begun.promise;
      raw.destroy();
    }
    await ended.promise;
  }
});

test('the daemon ends it with why', async () => {
  const api = await startApi({
    async *exec(_request, _input, signal) {
      yield { is: 'stdout', data: Buffer.from('begun') };
      await untilAborted(signal);
    },
  });
  const { say, next, closed } = await talk(api);
  say({ start: { command: 'sleep' } });
  await next();
  const stopped = api.api.stop();
  expect(await next()).toMatchObject({ error: { message: expect.stringContaining('shutting down') } });
  await closed;
  await stopped;
});

test('a program that reads nothing holds its caller up; a caller that reads nothing holds the program up', async () => {
  const read = Promise.withResolvers<void>();
  let made = 0;
  const api = await startApi({
    async *exec(_request, input, signal) {
      for (; made < 1_000; made++) yield { is: 'stdout', data: Buffer.alloc(16 << 10) };
      await Promise.race([read.promise, untilAborted(signal)]);
      let bytes = 0;
      for await (const one of input)
        if (one.is === 'stdin') bytes += one.data.length;
        else break;
      yield { is: 'stdout', data: Buffer.from(String(bytes)) };
      yield { is: 'exit', code: 0, timedOut: false };
    },
  });
  const raw = await rawSocket(api);
  raw.write(frame(1, Buffer.from('{"start":{"command":"x"}}')));
  // What the kernel and the sockets hold of 16 MB is on its way; then it waits.
  let before = -1;
  await expect
    .poll(
      () => {
        const stands = made > 0 && made === before;
        before = made;
        return stands;
      },
      { interval: 300 },
    )
    .toBe(true);
  expect(made).toBeLessThan(800);
  raw.resume();
  await expect.poll(() => made).toBe(1_000);
  const piece = frame(2, Buffer.alloc(32 << 10));
  let sent = 0;
  while (raw.write(piece)) sent++;
  for (let i = 0; i < 1_000 && sent < 1_000; i++, sent++) raw.write(piece);
  await expect.poll(() => raw.bytesWritten > 0 && raw.writableLength > 4 << 20).toBe(true);
  read.resolve();
  await expect.poll(() => raw.writableLength).toBe(0);
});

test('who answers no ping is gone', async () => {
  const api = await startApi({}, { keepAliveMs: 50 });
  const { closed, socket, say } = await talk(api);
  const raw = await rawSocket(api);
  await once(raw.resume(), 'close');
  // One that answers is not.
  say({ signal: 2 });
  expect(await closed).toEqual({ code: 1011 });
  expect(socket.readyState).toBe(socket.CLOSED);
});

test('who may not call is told so before there is a WebSocket', async () => {
  const tokens = tokensOf({ name: 'ci', secret: 's3cret~' });
  const api = await startApi({ exec: echo }, { tokens });
  await expect(talk(api)).rejects.toThrow('no WebSocket');
  const named = `flintlock.bearer.${Buffer.from('s3cret~').toString('base64url')}`;
  for (const [protocols, headers] of [
    [['flintlock.exec.v1', named], {}],
    [[], { authorization: 'Bearer s3cret~' }],
  ] as const) {
    const { say, next, socket } = await talk(api, PATH, [...protocols], headers);
    expect(socket.protocol).toBe(protocols[0] ?? '');
    say({ start: { command: 'x', hasStdin: true } });
    say({ stdinEof: true });
    expect(await next()).toEqual([1, `${SAMPLE_UID} x`]);
  }
  expect(await upgrade(api, PATH)).toMatchObject({ status: 401, challenge: expect.stringContaining('Bearer') });
  const wrong = `flintlock.bearer.${Buffer.from('another').toString('base64url')}`;
  expect(await upgrade(api, PATH, { 'sec-websocket-protocol': wrong })).toMatchObject({ status: 401 });
});

test('what is no proper request for one is answered as a request', async () => {
  const api = await startApi();
  expect(await upgrade(api, PATH, { origin: 'http://elsewhere.example' })).toMatchObject({ status: 403 });
  expect(await upgrade(api, '/v1/namespaces/default/microvms/none/exec')).toMatchObject({ status: 404 });
  expect(await upgrade(api, `${PATH}?command=ls`)).toMatchObject({ status: 400 });
  expect(await upgrade(api, '/v1/nothing/exec')).toMatchObject({ status: 404 });
  expect(await upgrade(api, PATH, { 'sec-websocket-key': 'x' })).toMatchObject({ status: 400 });
  expect(await upgrade(api, PATH, { upgrade: 'h2c' })).toMatchObject({ status: 426 });
  expect(await upgrade(api, '/v1/microvms')).toMatchObject({ status: 200 });
  expect((await api.fetch(PATH)).status).toBe(426);
});

const KEY = { upgrade: 'websocket', connection: 'Upgrade', 'sec-websocket-version': '13' };
const SOME_KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** How a request for a WebSocket is answered that gets none. */
async function upgrade({ http }: TestApi, path: string, headers = {}) {
  if (http.kind !== 'tcp') throw new Error('it is on TCP');
  const asked = request({
    ...{ host: http.host, port: http.port, path, agent: false },
    headers: { ...KEY, 'sec-websocket-key': SOME_KEY, ...headers },
  }).end();
  const [answer] = await once(asked, 'response');
  answer.resume();
  return { status: answer.statusCode, challenge: answer.headers['www-authenticate'] };
}

/** A WebSocket by its bytes, which is read only when it is told to. */
async function rawSocket({ http }: TestApi) {
  if (http.kind !== 'tcp') throw new Error('it is on TCP');
  const socket = connect({ host: http.host, port: http.port });
  onTestFinished(() => void socket.destroy());
  const head = Object.entries({ ...KEY, host: 'localhost', 'sec-websocket-key': SOME_KEY }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  socket.write(`GET ${PATH} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`);
  const [first] = await once(socket, 'data');
  socket.pause();
  expect(String(first)).toMatch(/^HTTP\/1\.1 101 [\s\S]*x-request-id: /);
  return socket;
}

/** RFC 6455, 5.2: whole, masked with zeros. */
function frame(opcode: 1 | 2, payload: Buffer): Buffer {
  const length =
    payload.length < 126
      ? Buffer.of(0x80 | payload.length)
      : Buffer.of(0xfe, payload.length >> 8, payload.length & 255);
  return Buffer.concat([Buffer.of(0x80 | opcode), length, Buffer.alloc(4), payload]);
}
