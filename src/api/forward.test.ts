import { Code } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { startApi } from '../../test/support/api.ts';
import { SAMPLE_UID, untilAborted } from '../../test/support/fake-services.ts';
import { GuestService } from '../gen/flintlock/microvm/v1/guest_pb.ts';
import type { PortTarget } from '../ports/guest-ports.ts';

async function guests(services?: Parameters<typeof startApi>[0]) {
  return (await startApi(services)).client(GuestService);
}
type Request = Parameters<Awaited<ReturnType<typeof guests>>['forward']>[0] extends AsyncIterable<infer M> ? M : never;

async function* these(...messages: Request[]): AsyncGenerator<Request> {
  yield* messages;
}

const started = (more: object = { port: 80 }): Request => ({
  payload: { case: 'start', value: { uid: SAMPLE_UID, ...more } },
});
const data = (text: string): Request => ({ payload: { case: 'data', value: Buffer.from(text) } });

async function said(answers: AsyncIterable<{ payload: { case: string | undefined; value?: unknown } }>) {
  const all: unknown[] = [];
  for await (const { payload } of answers)
    all.push(payload.value instanceof Uint8Array ? Buffer.from(payload.value).toString() : payload.case);
  return all;
}

test('where to arrives whole, bytes go both ways, and both ends are told', async () => {
  const asked: { uid: string; target: PortTarget }[] = [];
  const client = await guests({
    async *forward(request, input) {
      asked.push(request);
      yield { is: 'opened' };
      for await (const bytes of input) yield { is: 'data', data: bytes };
      yield { is: 'end' };
    },
  });
  expect(await said(client.forward(these(started({ host: '::1', port: 443 }), data('a'), data('b'))))).toEqual([
    ...['opened', 'a', 'b', 'dataEof'],
  ]);
  await said(client.forward(these(started({ path: '/run/x.sock' }))));
  expect(asked).toEqual([
    { uid: SAMPLE_UID, target: { is: 'tcp', host: '::1', port: 443 } },
    { uid: SAMPLE_UID, target: { is: 'unix', path: '/run/x.sock' } },
  ]);
});

test.each<[string, Request[], RegExp]>([
  ['nothing', [], /start: must say where/],
  ['bytes first', [data('x')], /start: must say where/],
  ['no uid and no port', [started({ uid: '' })], /start\.uid.*start\.port: is 0/],
  ['a port that is none', [started({ port: 70_000 })], /start\.port: is 70000/],
  ['a name', [started({ host: 'web.lan', port: 80 })], /start\.host: must be an IP address/],
  ['a zone', [started({ host: 'fe80::1%eth0', port: 80 })], /start\.host: must be without a zone/],
  ['two places', [started({ path: '/x', port: 80 })], /start\.path: stands in the place/],
  ['a path that is not absolute', [started({ path: 'x' })], /start\.path: must be absolute/],
  ['a path that is too long', [started({ path: `/${'é'.repeat(60)}` })], /start\.path: must have at most 107/],
  ['a second start', [started(), started()], /first message only/],
])('%s is refused', async (_, messages, why) => {
  const client = await guests();
  await expect(said(client.forward(these(...messages)))).rejects.toMatchObject({
    ...{ code: Code.InvalidArgument, rawMessage: expect.stringMatching(why) },
  });
});

test('where nobody listens it is FAILED_PRECONDITION', async () => {
  const client = await guests();
  await expect(said(client.forward(these(started({ port: 81 }))))).rejects.toMatchObject({
    ...{ code: Code.FailedPrecondition, rawMessage: 'nobody listens there' },
  });
});

test('a caller that leaves ends it', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const client = await guests({
    async *forward(_request, _input, signal) {
      yield { is: 'opened' };
      await untilAborted(signal).finally(resolve);
    },
  });
  const leave = new AbortController();
  await expect(
    (async () => {
      for await (const _ of client.forward(these(started()), { signal: leave.signal })) leave.abort();
    })(),
  ).rejects.toMatchObject({ code: Code.Canceled });
  await ended;
});
