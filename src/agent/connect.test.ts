import { expect, test } from 'vitest';
import { heard, TARGET, these } from '../../test/support/port-talk.ts';
import { Fault } from '../domain/fault.ts';
import type { PortOutput } from '../ports/guest-ports.ts';
import { agentFrame } from './agent-frames.ts';
import { connectOver } from './connect.ts';
import type { AgentStream } from './exec.ts';

const OPENED = agentFrame(48);
const never = new AbortController().signal;
const text = (words: string): Uint8Array => Buffer.from(words);

/** An agent that says this, whatever it is asked; `cut`: then it breaks off, else it ends. */
function agent(pieces: readonly Uint8Array[], cut?: Fault) {
  const written: Buffer[] = [];
  const did: string[] = [];
  const connection: AgentStream = {
    async write(bytes) {
      written.push(Buffer.from(bytes));
    },
    async *read() {
      yield* pieces;
      if (cut) throw cut;
    },
    end: () => void did.push('end'),
    close: () => void did.push('close'),
  };
  return { connection, written, did };
}

test('what comes with the answer is the server’s, and so is all behind it', async () => {
  const { connection, written, did } = agent([
    OPENED.subarray(0, 3),
    Buffer.concat([OPENED.subarray(3), text('hel')]),
    text('lo'),
  ]);
  expect(await heard(connectOver(connection, TARGET, these('a', 'b'), never))).toEqual([
    '[opened]',
    'hel',
    'lo',
    '[end]',
  ]);
  expect(JSON.parse(written[0]?.subarray(5).toString() ?? '')).toEqual({
    ...{ version: 1, op: 'connect', connect: { host: '', port: 80 } },
  });
  expect(written.slice(1).map(String)).toEqual(['a', 'b']);
  expect(did).toEqual(['end', 'close']);
});

test('nothing is read of the caller before there is a connection', async () => {
  const { connection, written } = agent([agentFrame(7, text('{"msg":"nobody listens \\u001b[2Jthere"}'))]);
  await expect(heard(connectOver(connection, TARGET, these('a'), never))).rejects.toMatchObject({
    ...{ kind: 'refused', message: 'nobody listens ?[2Jthere' },
  });
  expect(written).toHaveLength(1);
});

const head = (type: number, length: number): Buffer => {
  const bytes = Buffer.alloc(5, type);
  bytes.writeUInt32BE(length, 1);
  return bytes;
};

test.each<[string, Uint8Array[]]>([
  ['nothing', []],
  ['half an answer', [OPENED.subarray(0, 4)]],
  ['an answer with more than it may have', [head(48, 1)]],
  ['an error without an end', [head(7, 0xffff_ffff)]],
  ['an error that is no JSON', [agentFrame(7, text('x'))]],
  ['another frame', [agentFrame(4, text('x'))]],
])('an agent that says %s is no agent', async (_, pieces) => {
  const { connection, did } = agent(pieces);
  await expect(heard(connectOver(connection, TARGET, these(), never))).rejects.toMatchObject({ kind: 'tool' });
  expect(did).toContain('close');
});

test('what breaks off is told behind what came before', async () => {
  const { connection } = agent([OPENED, text('a')], new Fault('tool', 'reset'));
  const came: PortOutput[] = [];
  await expect(
    (async () => {
      for await (const one of connectOver(connection, TARGET, these(), never)) came.push(one);
    })(),
  ).rejects.toThrow('reset');
  expect(came).toHaveLength(2);
});

test('the server’s end is not the caller’s, whose own is waited for', async () => {
  const { connection, did } = agent([OPENED]);
  const typed = Promise.withResolvers<void>();
  async function* input() {
    await typed.promise;
    yield text('late');
  }
  const outputs = connectOver(connection, TARGET, input(), never)[Symbol.asyncIterator]();
  expect(await outputs.next()).toMatchObject({ value: { is: 'opened' } });
  expect(await outputs.next()).toMatchObject({ value: { is: 'end' } });
  const over = outputs.next();
  expect(did).toEqual([]);
  typed.resolve();
  expect(await over).toMatchObject({ done: true });
  expect(did).toEqual(['end', 'close']);
});

test('who leaves closes it, also while the agent says nothing', async () => {
  const leave = new AbortController();
  const { connection, did } = agent([]);
  const silent: AgentStream = {
    ...connection,
    read: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
  };
  const heardIt = heard(connectOver(silent, TARGET, these(), leave.signal));
  leave.abort(new Error('left'));
  await expect(heardIt).rejects.toThrow('left');
  expect(did).toContain('close');
});

test('an agent that does not say whether there is a connection is not waited for', async () => {
  const { connection, did } = agent([]);
  const silent: AgentStream = {
    ...connection,
    read: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
  };
  await expect(heard(connectOver(silent, TARGET, these(), never, 20))).rejects.toMatchObject({ kind: 'timeout' });
  expect(did).toEqual(['close']);
});

test('a caller that breaks off breaks it off', async () => {
  const { connection, did } = agent([OPENED]);
  // biome-ignore lint/correctness/useYield: it fails
  async function* broken(): AsyncGenerator<Uint8Array> {
    throw new Error('reset by peer');
  }
  await expect(heard(connectOver(connection, TARGET, broken(), never))).rejects.toThrow('reset by peer');
  expect(did).toEqual(['close']);
});
