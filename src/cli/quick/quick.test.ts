import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttp2, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, ConnectError, createClient, type ServiceImpl, type Transport } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { GuestService } from '../../gen/flintlock/microvm/v1/guest_pb.ts';
import { MicroVMService } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { openWhole } from '../whole-transport.ts';
import { NotTaken, quickCall } from './call.ts';
import { type Header, packHeaders, unpackHeaders } from './headers.ts';
import { openStream } from './stream.ts';
import { quickTransport } from './transport.ts';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** A server on a unix socket of its own. */
async function serve<T extends Http2Server | Server>(server: T): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'flt-quick-'));
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined); // some cut it
  });
  open.push({
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      rmSync(directory, { recursive: true });
    },
  });
  const path = join(directory, 'sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

const answering = (answer: (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>) => void) =>
  serve(
    createHttp2().on('stream', (stream, headers) => {
      stream.on('error', () => undefined); // those that are broken off
      answer(stream as ServerHttp2Stream, headers);
    }),
  );
/** One that says these bytes, whatever it hears. */
const saying = (bytes: Uint8Array, then: 'end' | 'wait' = 'end') =>
  serve(createServer((socket) => void (then === 'end' ? socket.end(bytes) : socket.write(bytes))));

const signal = (): AbortSignal => AbortSignal.timeout(20_000);
const POST: readonly Header[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a.B/C'],
  [':authority', 'localhost'],
];
/** Over a daemon that has these answers; what goes the other way is counted. */
async function client(routes: Parameters<typeof connectNodeAdapter>[0]['routes'], token?: string) {
  const path = await serve(createHttp2(connectNodeAdapter({ routes })));
  return clientAt(path, token);
}
function clientAt(socket: string, token?: string) {
  let wholes = 0;
  const whole = async (): Promise<Transport> => {
    wholes++;
    const made = openWhole({ address: { socket }, ...(token !== undefined && { token }) });
    open.push(made);
    return made.transport;
  };
  return { vms: createClient(MicroVMService, quickTransport(socket, token, whole)), wholes: () => wholes };
}

test('every printable character is read as Node writes it, and the other way round', async () => {
  const printable = String.fromCharCode(...Array.from({ length: 95 }, (_, i) => 32 + i));
  // Long runs of what is short in the code make Node use it; what is long in it is written as it is.
  const values = [...[...printable].map((one) => `a${'0'.repeat(60)}${one}a`), printable.trim(), 'a'.repeat(10_000)];
  const named = Object.fromEntries(values.map((value, i) => [`x-${i}`, value]));
  let heard: Readonly<Record<string, unknown>> = {};
  const path = await answering((stream, headers) => {
    heard = headers;
    stream.respond({ ':status': 200, ...named }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', ...named }));
    stream.end();
  });
  const headers = Object.entries(named).filter(([name]) => Number(name.slice(2)) % 8 === 0);
  const answer = await quickCall(path, [...POST, ...headers], Buffer.alloc(0), signal());
  expect(Object.fromEntries(answer.headers)).toMatchObject({ ':status': '200', ...named });
  expect(Object.fromEntries(answer.trailers)).toMatchObject({ 'grpc-status': '0', ...named });
  expect(heard).toMatchObject(Object.fromEntries(headers));
});

test('headers that are written are read again', () => {
  const text = fc.string({ unit: fc.integer({ min: 33, max: 126 }).map((unit) => String.fromCharCode(unit)) });
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          text,
          fc.oneof(
            text,
            text.map((one) => one.repeat(300)),
          ),
        ),
      ),
      (headers) => {
        expect(unpackHeaders(packHeaders(headers))).toEqual(headers);
      },
    ),
  );
});

test('a call is answered, with whatever length there is, and its token goes with it', async () => {
  const tokens: unknown[] = [];
  const microvm = Array.from({ length: 3_000 }, (_, n) => ({ spec: { id: `vm${n}`, namespace: 'x'.repeat(500) } }));
  const { vms, wholes } = await client((router) => {
    router.service(MicroVMService, {
      listMicroVMs(_, { requestHeader }) {
        tokens.push(requestHeader.get('authorization'));
        return { microvm };
      },
    });
  }, 'secret');
  const { microvm: found } = await vms.listMicroVMs({}, { signal: signal(), timeoutMs: 20_000 });
  expect(found).toHaveLength(3_000);
  expect(found.at(-1)?.spec?.id).toBe('vm2999');
  expect(tokens).toEqual(['Bearer secret']);
  expect(wholes()).toBe(0);
});

test('an error is told with its code, words and details', async () => {
  const { vms, wholes } = await client((router) => {
    router.service(MicroVMService, {
      getMicroVM() {
        throw new ConnectError('microVM „ü" not found\n100 %', Code.NotFound, { 'x-more': '1' });
      },
    });
  });
  const error = await vms.getMicroVM({ uid: 'a' }).catch((one: unknown) => one);
  expect(error).toMatchObject({ code: Code.NotFound, rawMessage: 'microVM „ü" not found\n100 %' });
  expect((error as ConnectError).metadata.get('x-more')).toBe('1');
  expect(wholes()).toBe(0);
});

test('what is long, and what streams, goes the other way', async () => {
  const { vms, wholes } = await client((router) => {
    router.service(MicroVMService, {
      createMicroVM: ({ microvm }) => ({ microvm: { spec: { id: String(microvm?.id.length) } } }),
      listMicroVMsStream: async function* () {
        yield { microvm: { spec: { id: 'a' } } };
      },
    });
  });
  const { microvm } = await vms.createMicroVM({ microvm: { id: 'x'.repeat(100_000) } });
  expect(microvm?.spec?.id).toBe('100000');
  expect(wholes()).toBe(1);
  for await (const { microvm: one } of vms.listMicroVMsStream({})) expect(one?.spec?.id).toBe('a');
  expect(wholes()).toBe(2);
});

test('where nobody listens the other way tells why', async () => {
  const { vms, wholes } = clientAt(join(tmpdir(), 'flt-quick-none.sock'));
  await expect(vms.listMicroVMs({})).rejects.toMatchObject({ cause: { code: 'ENOENT' } });
  expect(wholes()).toBe(1);
});

test('a call that is aborted, or whose time is up, ends at once and is broken off there', async () => {
  const closed = Promise.withResolvers<number | undefined>();
  const path = await answering((stream) => {
    stream.on('close', () => closed.resolve(stream.rstCode));
    abort.abort(new Error('enough'));
  });
  const abort = new AbortController();
  await expect(quickCall(path, POST, Buffer.alloc(0), abort.signal)).rejects.toThrow('enough');
  expect(await closed.promise).toBe(8);
  const { vms } = clientAt(await answering(() => undefined));
  await expect(vms.listMicroVMs({}, { timeoutMs: 50 })).rejects.toMatchObject({ code: Code.DeadlineExceeded });
});

test('a daemon that breaks the call off, or ends, is told as it was', async () => {
  const reset = clientAt(await answering((stream) => stream.close(11)));
  await expect(reset.vms.listMicroVMs({})).rejects.toMatchObject({ code: Code.ResourceExhausted });
  expect(reset.wholes()).toBe(0);
  const cut = clientAt(await answering((stream) => stream.session?.socket.destroy()));
  await expect(cut.vms.listMicroVMs({})).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
  expect(cut.wholes()).toBe(0); // it may have been done
});

test('who turns a connection away, or speaks something else, is heard the other way', async () => {
  const away = createHttp2().on('session', (session) => session.goaway(2, 0, Buffer.from('not let in')));
  const turned = clientAt(await serve(away));
  await expect(turned.vms.listMicroVMs({})).rejects.toMatchObject({ cause: { code: 'ERR_TURNED_AWAY' } });
  expect(turned.wholes()).toBe(1);
  const web = clientAt(await saying(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')));
  await expect(web.vms.listMicroVMs({})).rejects.toBeInstanceOf(ConnectError);
  expect(web.wholes()).toBe(1);
});

const frameOf = (kind: number, flags: number, payload: readonly number[]): number[] => [
  ...[0, payload.length >> 8, payload.length & 0xff, kind, flags, 0, 0, 0, 1],
  ...payload,
];
const SETTINGS = frameOf(4, 0, []);

test('padding, priorities, pings and headers in parts are read as they are meant', async () => {
  const block = [
    ...packHeaders([
      [':status', '200'],
      ['x', 'y'],
    ]),
  ];
  const told = [
    ...SETTINGS,
    ...frameOf(6, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
    ...frameOf(1, 0x28, [2, 0, 0, 0, 0, 9, ...block.slice(0, 3), 0, 0]),
    ...frameOf(9, 4, block.slice(3)),
    ...frameOf(0, 8, [1, 65, 0]),
    ...frameOf(99, 0, [1]),
    ...frameOf(1, 5, [...packHeaders([['grpc-status', '0']])]),
  ];
  const { status, headers, trailers, body } = await quickCall(
    await saying(Buffer.from(told), 'wait'),
    POST,
    Buffer.alloc(0),
    signal(),
  );
  expect({ status, headers, trailers, body: Buffer.concat(body).toString() }).toEqual({
    ...{ status: 200, body: 'A' },
    headers: [
      [':status', '200'],
      ['x', 'y'],
    ],
    trailers: [['grpc-status', '0']],
  });
});

test('whatever is said instead of an answer is an error, and the end of the call', async () => {
  const noise = fc.uint8Array({ maxLength: 200 });
  const kinds = fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77);
  const frames = fc
    .array(fc.tuple(kinds, fc.nat(255), fc.array(fc.nat(255), { maxLength: 30 })))
    .map((all) => Uint8Array.from([...SETTINGS, ...all.flatMap((one) => frameOf(...one))]));
  let said: Uint8Array = new Uint8Array();
  const path = await serve(createServer((socket) => void socket.end(said)));
  await fc.assert(
    fc.asyncProperty(fc.oneof(noise, frames), async (bytes) => {
      said = bytes;
      const outcome = await quickCall(path, POST, Buffer.from('x'), signal()).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(['NotTaken', 'Error', 'RangeError', 'StreamReset']).toContain(outcome.name);
    }),
    { numRuns: 300 },
  );
});

test('an answer without an end is cut by who reads it', async () => {
  const endless = frameOf(
    9,
    0,
    Array.from({ length: 16_000 }, () => 65),
  );
  const bytes = Buffer.from([...SETTINGS, ...frameOf(1, 0, []), ...Array.from({ length: 80 }, () => endless).flat()]);
  const call = quickCall(await saying(bytes, 'wait'), POST, Buffer.alloc(0), signal());
  await expect(call).rejects.not.toBeInstanceOf(NotTaken);
});

/** Over a daemon with this answer to an exec. */
async function execClient(exec: ServiceImpl<typeof GuestService>['exec'], socket?: string) {
  const at =
    socket ??
    (await serve(createHttp2(connectNodeAdapter({ routes: (router) => router.service(GuestService, { exec }) }))));
  let wholes = 0;
  const whole = async (): Promise<Transport> => {
    wholes++;
    const made = openWhole({ address: { socket: at } });
    open.push(made);
    return made.transport;
  };
  const guests = createClient(GuestService, quickTransport(at, undefined, whole, { once: true }));
  return { guests, wholes: () => wholes };
}
const stdin = (value: Uint8Array) => ({ payload: { case: 'stdin' as const, value: new Uint8Array(value) } });
const exited = (code: number) => ({ payload: { case: 'exit' as const, value: { code } } });

test('a call that goes on is answered while it is asked, with as much as there is both ways', async () => {
  const { guests, wholes } = await execClient(async function* (requests) {
    for await (const { payload } of requests)
      if (payload.case === 'stdin') yield { payload: { case: 'stdout', value: payload.value } };
    yield exited(7);
  });
  const piece = Buffer.alloc(100_000, 'piece');
  async function* input() {
    for (let i = 0; i < 80; i++) yield stdin(piece);
  }
  let [bytes, code] = [0, -1];
  for await (const { payload } of guests.exec(input(), { signal: signal() }))
    if (payload.case === 'stdout') {
      expect(piece.equals(payload.value)).toBe(true);
      bytes += payload.value.length;
    } else if (payload.case === 'exit') code = payload.value.code;
  expect([bytes, code, wholes()]).toEqual([8_000_000, 7, 0]);
});

test('who does not read is sent little more, and what is not read is held by nobody', async () => {
  let sent = 0;
  const { guests } = await execClient(async function* () {
    for (let i = 0; i < 200; i++) {
      sent += 100_000;
      yield { payload: { case: 'stdout', value: new Uint8Array(100_000) } };
    }
    yield exited(0);
  });
  let read = 0;
  for await (const { payload } of guests.exec(nothing(), { signal: signal() })) {
    if (payload.case !== 'stdout') continue;
    read += payload.value.length;
    if (read > 1_000_000) continue;
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(sent - read).toBeLessThan(2_500_000);
  }
  expect(read).toBe(20_000_000);
});

test('an error of a call that goes on is told with its code and words; who leaves it is seen to', async () => {
  const left = Promise.withResolvers<void>();
  const { guests, wholes } = await execClient(async function* (requests, { signal: ended }) {
    ended.addEventListener('abort', () => left.resolve());
    for await (const { payload } of requests) {
      if (payload.case === 'stdin') throw new ConnectError('no such program', Code.NotFound);
      yield { payload: { case: 'stdout', value: new Uint8Array(1) } };
    }
  });
  const failing = drained(guests.exec(each([stdin(new Uint8Array(1))]), { signal: signal() }));
  await expect(failing).rejects.toMatchObject({ code: Code.NotFound, rawMessage: 'no such program' });
  const enough = new AbortController();
  async function* forEver() {
    yield { payload: { case: 'signal' as const, value: 2 } };
    await new Promise(() => undefined);
  }
  const run = (async () => {
    for await (const _ of guests.exec(forEver(), { signal: enough.signal })) enough.abort(new Error('enough'));
  })();
  await expect(run).rejects.toMatchObject({ code: Code.Canceled });
  await left.promise;
  expect(wholes()).toBe(0);
});

test('who leaves a call that has ended, without asking for its end, leaves nothing open', async () => {
  const { guests } = await execClient(async function* () {
    yield exited(3);
  });
  const closed = Promise.withResolvers<void>();
  const before = process.getActiveResourcesInfo().filter((one) => one === 'Timeout' || one === 'PipeWrap').length;
  const enough = new AbortController();
  async function* forEver() {
    await new Promise(() => undefined);
    yield stdin(new Uint8Array());
  }
  for await (const { payload } of guests.exec(forEver(), { signal: enough.signal })) {
    expect(payload).toMatchObject(exited(3).payload);
    setTimeout(closed.resolve, 50); // the end of the answer has come
    await closed.promise;
    break;
  }
  enough.abort(new Error('over'));
  await expect
    .poll(() => process.getActiveResourcesInfo().filter((one) => one === 'Timeout' || one === 'PipeWrap').length)
    .toBeLessThanOrEqual(before);
});

test('a call that goes on and was not taken goes the other way from its beginning; one that was cut does not', async () => {
  const away = createHttp2().on('session', (session) => session.goaway(2, 0, Buffer.from('not let in')));
  const turned = await execClient(() => expect.unreachable(), await serve(away));
  await expect(drained(turned.guests.exec(each([stdin(new Uint8Array(1))])))).rejects.toMatchObject({
    cause: { code: 'ERR_TURNED_AWAY' },
  });
  expect(turned.wholes()).toBe(1);
  const none = await execClient(() => expect.unreachable(), join(tmpdir(), 'flt-quick-none.sock'));
  await expect(drained(none.guests.exec(each([])))).rejects.toMatchObject({ cause: { code: 'ENOENT' } });

  let connections = 0;
  const refusing = createHttp2(
    connectNodeAdapter({
      routes: (router) =>
        router.service(GuestService, {
          async *exec(requests) {
            for await (const { payload } of requests) if (payload.case === 'stdin') yield exited(payload.value.length);
          },
        }),
    }),
  );
  const first = await serve(
    createServer((socket) => {
      // As a daemon that ends: the first is told that its stream was not looked at, once it has asked.
      if (connections++ > 0) return void refusing.emit('connection', socket);
      socket.write(Buffer.from(SETTINGS.with(8, 0)));
      socket.on('data', (heard) => {
        if (heard.includes('GuestService')) socket.end(Buffer.from(frameOf(3, 0, [0, 0, 0, 7])));
      });
    }),
  );
  const again = await execClient(() => expect.unreachable(), first);
  const codes: number[] = [];
  const later = Promise.withResolvers<void>();
  async function* typed() {
    yield stdin(new Uint8Array(5));
    await later.promise; // asked for on the first way, and wanted on the second
    yield stdin(new Uint8Array(6));
  }
  for await (const { payload } of again.guests.exec(typed(), { signal: signal() })) {
    if (payload.case === 'exit') codes.push(payload.value.code);
    later.resolve();
  }
  expect([codes, again.wholes()]).toEqual([[5, 6], 1]);

  const cut = await execClient(
    () => expect.unreachable(),
    await answering((stream) => stream.session?.socket.destroy()),
  );
  await expect(drained(cut.guests.exec(each([])))).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
  expect(cut.wholes()).toBe(0);
});

test('a daemon that takes the connection and then stands still, from its first word or later, is told of', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'setTimeout', 'clearInterval', 'clearTimeout'] });
  try {
    for (const said of [[], SETTINGS.with(8, 0)]) {
      const connected = Promise.withResolvers<void>();
      const path = await serve(
        createServer((socket) => {
          socket.write(Buffer.from(said));
          socket.resume();
          connected.resolve();
        }),
      );
      const outcome = openStream(path, POST, each([]), new AbortController().signal).catch((error: unknown) => error);
      await connected.promise;
      await new Promise(setImmediate);
      await vi.advanceTimersByTimeAsync(44_000);
      const isOver = await Promise.race([outcome.then(() => true), Promise.resolve(false)]);
      expect(isOver).toBe(false);
      await vi.advanceTimersByTimeAsync(2_000);
      expect(await outcome).toMatchObject({ code: 'ETIMEDOUT' });
    }
  } finally {
    vi.useRealTimers();
  }
});

test('whatever is said instead of an answer that goes on is an error, and the end of the call', async () => {
  const kinds = fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 77);
  const frames = fc.array(fc.tuple(kinds, fc.nat(255), fc.array(fc.nat(255), { maxLength: 30 })));
  let said: Uint8Array = new Uint8Array();
  const path = await serve(createServer((socket) => void socket.end(said)));
  await fc.assert(
    fc.asyncProperty(frames, async (all) => {
      said = Uint8Array.from([...SETTINGS, ...all.flatMap((one) => frameOf(...one))]);
      const outcome = await openStream(path, POST, each([Buffer.from('x')]), signal())
        .then(({ body }) => drained(body))
        .catch((error: unknown) => error);
      if (outcome instanceof Error) expect(['NotTaken', 'Error', 'RangeError', 'StreamReset']).toContain(outcome.name);
    }),
    { numRuns: 300 },
  );
});

async function* nothing(): AsyncGenerator<never> {}
async function* each<T>(all: readonly T[]): AsyncGenerator<T> {
  yield* all;
}
async function drained(all: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of all);
}
