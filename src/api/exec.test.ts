import { Code } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { startApi } from '../../test/support/api.ts';
import { SAMPLE_UID, untilAborted } from '../../test/support/fake-services.ts';
import { MicroVMExec } from '../gen/dropin/exec/microvmexec_pb.ts';
import { MicroVMSSHProxy } from '../gen/dropin/ssh/microvmsshproxy_pb.ts';
import { GuestService } from '../gen/flintlock/microvm/v1/guest_pb.ts';
import type { ExecStart } from '../ports/guest-agent.ts';

type Native =
  Parameters<Awaited<ReturnType<typeof clients>>['native']['exec']>[0] extends AsyncIterable<infer M> ? M : never;

async function clients(services?: Parameters<typeof startApi>[0]) {
  const { client } = await startApi(services);
  return { native: client(GuestService), dropin: client(MicroVMExec), ssh: client(MicroVMSSHProxy) };
}

async function* these<T>(...messages: T[]): AsyncGenerator<T> {
  yield* messages;
}

const started = (more: object = {}): Native => ({
  payload: { case: 'start', value: { uid: SAMPLE_UID, command: 'echo', args: ['a'], ...more } },
});

const said = async (answers: AsyncIterable<{ payload: { case: string | undefined; value?: unknown } }>) => {
  const all: unknown[] = [];
  for await (const { payload } of answers)
    all.push([
      payload.case,
      payload.value instanceof Uint8Array ? Buffer.from(payload.value).toString() : payload.value,
    ]);
  return all;
};

test('what is asked for arrives whole, and what comes of it comes back', async () => {
  const asked: { uid: string; start: ExecStart }[] = [];
  const { native } = await clients({
    async *exec(request, input) {
      asked.push(request);
      for await (const one of input) yield { is: 'stderr', data: Buffer.from(JSON.stringify(one)) };
      yield { is: 'exit', code: 300, timedOut: true };
    },
  });
  const start = started({
    ...{ directory: '/tmp', environment: { A: 'b' }, user: 'nobody', hasStdin: true },
    ...{ timeout: { seconds: 1n, nanos: 500_000_000 }, terminal: { size: { rows: 5, columns: 6 }, term: 'vt100' } },
  });
  const answers = await said(
    native.exec(
      these<Native>(
        start,
        { payload: { case: 'stdin', value: Buffer.from('x') } },
        { payload: { case: 'resize', value: { rows: 7, columns: 8 } } },
        { payload: { case: 'signal', value: 2 } },
        { payload: { case: 'stdinEof', value: true } },
      ),
    ),
  );
  expect(asked).toEqual([
    {
      uid: SAMPLE_UID,
      asImage: true,
      start: {
        ...{ command: 'echo', args: ['a'], directory: '/tmp', environment: { A: 'b' }, shell: false, user: 'nobody' },
        ...{ timeoutSeconds: 2, hasStdin: true, terminal: { rows: 5, columns: 6, term: 'vt100' } },
      },
    },
  ]);
  expect(answers).toMatchObject([
    ['stderr', expect.stringContaining('"stdin"')],
    ['stderr', '{"is":"resize","rows":7,"columns":8}'],
    ['stderr', '{"is":"signal","number":2}'],
    ['stderr', '{"is":"stdin end"}'],
    ['exit', { code: 300, timedOut: true }],
  ]);
});

test.each<[string, Native[], RegExp]>([
  ['nothing', [], /start: must say what to run/],
  ['another message first', [{ payload: { case: 'stdinEof', value: true } }], /start: must say what to run/],
  ['no uid and no command', [started({ uid: '', command: '' })], /start\.uid.*start\.command/],
  ['a NUL', [started({ args: ['a\0b'] })], /start\.args: hold a NUL/],
  ['a variable that is none', [started({ environment: { 'A=B': '' } })], /start\.environment/],
  ['a timeout before now', [started({ timeout: { seconds: -1n } })], /start\.timeout/],
  ['a second start', [started({ hasStdin: true }), started()], /first message only/],
  ['a signal that is none', [started({ hasStdin: true }), { payload: { case: 'signal', value: 99 } }], /signal: is 99/],
])('%s is refused', async (_, messages, why) => {
  const { native } = await clients();
  await expect(said(native.exec(these(...messages)))).rejects.toMatchObject({
    ...{ code: Code.InvalidArgument, rawMessage: expect.stringMatching(why) },
  });
});

test('a caller that leaves ends what it ran', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const { native } = await clients({
    async *exec(_request, _input, signal) {
      yield { is: 'stdout', data: Buffer.from('begun') };
      await untilAborted(signal).finally(resolve);
    },
  });
  const leave = new AbortController();
  await expect(
    (async () => {
      for await (const _ of native.exec(these(started()), { signal: leave.signal })) leave.abort();
    })(),
  ).rejects.toMatchObject({ code: Code.Canceled });
  await ended;
});

test('Info says what the agent is', async () => {
  const { native } = await clients();
  expect(await native.info({ uid: SAMPLE_UID })).toMatchObject({ version: '1', features: ['tty'] });
  await expect(native.info({ uid: '' })).rejects.toMatchObject({ code: Code.InvalidArgument });
  await expect(native.info({ uid: 'x' })).rejects.toMatchObject({ code: Code.NotFound });
});

test('today’s clients: the first message is start, and only exit_code ends the answers', async () => {
  const { dropin } = await clients();
  const start = { case: 'start' as const, value: { uid: SAMPLE_UID, cmd: 'cat', hasStdin: true } };
  const answers = await said(
    dropin.execCommand(
      these<{ payload: typeof start | { case: 'stdin'; value: Uint8Array } | { case: 'stdinEof'; value: boolean } }>(
        { payload: start },
        { payload: { case: 'stdin', value: Buffer.from('typed') } },
        { payload: { case: 'stdinEof', value: true } },
      ),
    ),
  );
  expect(answers).toEqual([
    ['stdout', 'cat\n'],
    ['stdout', 'typed'],
    ['exitCode', 7],
  ]);
  await expect(
    said(dropin.execCommand(these({ payload: { case: 'stdinEof' as const, value: true } }))),
  ).rejects.toMatchObject({ code: Code.InvalidArgument });
  await expect(
    said(dropin.execCommand(these({ payload: { case: 'start' as const, value: { uid: SAMPLE_UID } } }))),
  ).rejects.toMatchObject({
    code: Code.InvalidArgument,
    rawMessage: expect.stringContaining('start.cmd: is required'),
  });
});

test('today’s clients: bytes to and from the SSH server, the uid first', async () => {
  const { ssh } = await clients();
  const uid = { payload: { case: 'uid' as const, value: SAMPLE_UID } };
  const data = { payload: { case: 'data' as const, value: Buffer.from('SSH-2.0-x\r\n') } };
  const heard: string[] = [];
  for await (const answer of ssh.sSHProxy(these<typeof uid | typeof data>(uid, data)))
    heard.push(Buffer.from(answer.data).toString());
  expect(heard.join('')).toBe('SSH-2.0-x\r\n');
  for (const wrong of [these(data), these(uid, uid)])
    await expect(
      (async () => {
        for await (const _ of ssh.sSHProxy(wrong));
      })(),
    ).rejects.toMatchObject({ code: Code.InvalidArgument });
});
