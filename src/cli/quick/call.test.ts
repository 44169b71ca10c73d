import { createServer as createHttp2 } from 'node:http2';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  answering,
  countedWhole,
  frameOf,
  POST,
  SETTINGS,
  saying,
  serve,
  signal,
} from '../../../test/support/quick-server.ts';
import { MicroVMService } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { NotTaken, quickCall } from './call.ts';
import { packHeaders, unpackHeaders } from './headers.ts';
import { quickTransport } from './transport.ts';

/** Over a daemon that has these answers; what goes the other way is counted. */
async function client(routes: Parameters<typeof connectNodeAdapter>[0]['routes'], token?: string) {
  const path = await serve(createHttp2(connectNodeAdapter({ routes })));
  return clientAt(path, token);
}
function clientAt(socket: string, token?: string) {
  const { whole, wholes } = countedWhole(socket, token);
  return { vms: createClient(MicroVMService, quickTransport(socket, token, whole)), wholes };
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
