import { expect, test } from 'vitest';
import { startApi } from '../../../test/support/api.ts';
import { SAMPLE_UID, untilAborted } from '../../../test/support/fake-services.ts';
import { Fault } from '../../domain/fault.ts';

type Services = Parameters<typeof startApi>[0];

const text = (base64: string) => Buffer.from(base64, 'base64').toString();

async function post(path: string, body: unknown, services?: Services) {
  const api = await startApi(services);
  return api.fetch(path, {
    ...{ method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } },
  });
}

test.each([`/v1/microvms/${SAMPLE_UID}:exec`, '/v1/namespaces/default/microvms/web:exec'])(
  '%s answers with what a program wrote, and how it ended',
  async (path) => {
    const answer = await post(path, { start: { command: 'cat', args: ['-'] }, stdin: btoa('in\0put') });
    expect(answer.status).toBe(200);
    const { stdout, stderr, ...rest } = (await answer.json()) as { stdout: string; stderr: string };
    expect([text(stdout), stderr, rest]).toEqual([
      'cat -\nin\0put',
      '',
      { cut: false, exit: { code: 7, timedOut: false } },
    ]);
  },
);

test('of endless output the beginning is kept, and that it was cut is told', async () => {
  const answer = await post(
    `/v1/microvms/${SAMPLE_UID}:exec`,
    { start: { command: 'yes' } },
    {
      async *exec() {
        for (let i = 0; i < 3; i++) yield { is: 'stdout', data: Buffer.alloc(700_000, `${i}`) };
        yield { is: 'stderr', data: Buffer.from('e') };
        yield { is: 'exit', code: 0, timedOut: false };
      },
    },
  );
  const { stdout, stderr, cut } = (await answer.json()) as { stdout: string; stderr: string; cut: boolean };
  expect([text(stdout).length, text(stdout).slice(-1), text(stderr), cut]).toEqual([1 << 20, '1', 'e', true]);
});

test(':execStream answers with a line for each piece, and its failure is the last', async () => {
  const answer = await post(
    `/v1/microvms/${SAMPLE_UID}:execStream`,
    { start: { command: 'x' } },
    {
      async *exec() {
        yield { is: 'stderr', data: Buffer.from('a') };
        throw new Fault('tool', 'The guest went away');
      },
    },
  );
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
  const lines = (await answer.text()).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { stderr: btoa('a') },
    { error: expect.objectContaining({ message: expect.stringContaining('The guest went away') }) },
  ]);
});

test.each<[string, unknown, number, RegExp]>([
  ['no start', {}, 400, /start: must say what to run/],
  ['no command', { start: {} }, 400, /start\.command/],
  [
    'a terminal',
    { start: { command: 'a', terminal: {} } },
    400,
    /start\.terminal: is for Exec, by gRPC or a WebSocket/,
  ],
  ['another uid', { start: { command: 'a', uid: 'b' } }, 400, /start\.uid: is "b" in the body/],
  ['a field that there is not', { start: { command: 'a' }, cmd: 'a' }, 400, /RunRequest.*"cmd"|cmd: is no field/],
])('%s is refused', async (_, body, status, why) => {
  const answer = await post(`/v1/microvms/${SAMPLE_UID}:exec`, body);
  expect([answer.status, ((await answer.json()) as { message: string }).message]).toEqual([
    status,
    expect.stringMatching(why),
  ]);
});

test('a caller that leaves ends what it ran', async () => {
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const api = await startApi({
    async *exec(_request, _input, signal) {
      begun.resolve();
      yield { is: 'stdout', data: Buffer.from('begun') };
      await untilAborted(signal).finally(ended.resolve);
    },
  });
  const leave = new AbortController();
  const asked = api.fetch(`/v1/microvms/${SAMPLE_UID}:exec`, {
    ...{ method: 'POST', body: '{"start":{"command":"sleep"}}', signal: leave.signal },
    headers: { 'content-type': 'application/json' },
  });
  await begun.promise;
  leave.abort();
  await expect(asked).rejects.toThrow();
  await ended.promise;
});

test('/agent says what the agent is', async () => {
  const api = await startApi();
  const answer = await api.fetch(`/v1/microvms/${SAMPLE_UID}/agent`);
  expect(await answer.json()).toMatchObject({ version: '1', features: ['tty'] });
});
