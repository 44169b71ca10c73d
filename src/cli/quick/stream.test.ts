import { createServer as createHttp2 } from 'node:http2';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, ConnectError, createClient, type ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { answering, countedWhole, frameOf, POST, SETTINGS, serve, signal } from '../../../test/support/quick-server.ts';
import { GuestService } from '../../gen/flintlock/microvm/v1/guest_pb.ts';
import { openStream } from './stream.ts';
import { quickTransport } from './transport.ts';

/** Over a daemon with this answer to an exec. */
async function execClient(exec: ServiceImpl<typeof GuestService>['exec'], socket?: string) {
  const at =
    socket ??
    (await serve(createHttp2(connectNodeAdapter({ routes: (router) => router.service(GuestService, { exec }) }))));
  const { whole, wholes } = countedWhole(at);
  const guests = createClient(GuestService, quickTransport(at, undefined, whole, { once: true }));
  return { guests, wholes };
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
