import { expect, test } from 'vitest';
import { heard, TARGET, these } from '../../test/support/port-talk.ts';
import { agentFrame } from './agent-frames.ts';
import { connectFramed, sshFramed } from './connect-framed.ts';
import type { AgentConnection } from './exec.ts';

const never = new AbortController().signal;
const [OPENED, ENDED] = [agentFrame(48), agentFrame(50)];
const text = (words: string): Uint8Array => Buffer.from(words);
const data = (words: string): Uint8Array => agentFrame(4, text(words));

/** An agent that says this, whatever it is asked, and hangs up. */
function agent(...pieces: readonly Uint8Array[]) {
  const written: Buffer[] = [];
  let closed = 0;
  const connection: AgentConnection = {
    async write(bytes) {
      written.push(Buffer.from(bytes));
    },
    async *read() {
      yield* pieces;
    },
    close: () => void closed++,
  };
  return { connection, written, closed: () => closed };
}

test('both sides tell their ends', async () => {
  const { connection, written, closed } = agent(OPENED, data('hel'), Buffer.concat([data('lo'), ENDED]));
  expect(await heard(connectFramed(connection, TARGET, these('a', '', 'b'), never))).toEqual([
    ...['[opened]', 'hel', 'lo', '[end]'],
  ]);
  expect(JSON.parse(written[0]?.subarray(5).toString() ?? '')).toEqual({
    ...{ version: 1, op: 'connect', connect: { host: '', port: 80, framed: true } },
  });
  expect(written.slice(1)).toEqual(
    [agentFrame(2, text('a')), agentFrame(2, text('b')), agentFrame(3)].map(Buffer.from),
  );
  expect(closed()).toBe(1);
});

test.each<[string, Uint8Array[], string, RegExp]>([
  ['nothing', [], 'tool', /hung up before/],
  [
    'a refusal',
    [agentFrame(7, text('{"msg":"nobody listens \\u001b[2Jthere"}'))],
    'refused',
    /^nobody listens \?\[2Jthere$/,
  ],
  ['an answer with more than it may have', [agentFrame(48, text('x'))], 'tool', /type 48/],
  ['bytes before an answer', [data('x')], 'tool', /type 4 /],
  ['no end', [OPENED, data('x')], 'tool', /in the middle/],
  ['that the server broke off', [OPENED, data('x'), agentFrame(7, text('{"msg":"cut"}'))], 'tool', /^cut$/],
  ['another frame', [OPENED, agentFrame(6, text('{"code":0}'))], 'tool', /type 6/],
  ['opened once more', [OPENED, OPENED], 'tool', /type 48/],
  ['a frame without an end', [OPENED, Buffer.from([4, 0xff, 0xff, 0xff, 0xff])], 'tool', /over/],
])('an agent that says %s is told as that', async (_, pieces, kind, why) => {
  const { connection, closed } = agent(...pieces);
  await expect(heard(connectFramed(connection, TARGET, these(), never))).rejects.toMatchObject({
    ...{ kind, message: expect.stringMatching(why) },
  });
  expect(closed()).toBe(1);
});

test('an agent that says nothing at all is not waited for', async () => {
  const connection: AgentConnection = {
    write: async () => undefined,
    async *read() {
      await new Promise(() => undefined);
    },
    close: () => undefined,
  };
  await expect(heard(connectFramed(connection, TARGET, these(), never, 20))).rejects.toMatchObject({ kind: 'timeout' });
});

test('the way to SSH ends with the server; where there is none it broke off', async () => {
  const said: string[] = [];
  for await (const bytes of sshFramed(agent(OPENED, data('SSH-2.0-x'), ENDED).connection, these(), never))
    said.push(Buffer.from(bytes).toString());
  expect(said).toEqual(['SSH-2.0-x']);
  const refused = agent(agentFrame(7, text('{"msg":"nobody listens there"}'))).connection;
  await expect(sshFramed(refused, these(), never).next()).rejects.toMatchObject({ kind: 'tool' });
});
