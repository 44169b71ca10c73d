import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type AgentProcess, channelOf, startAgent } from '../../test/support/agent-process.ts';
import { Fault } from '../domain/fault.ts';
import { clock } from '../host/clock.ts';
import type { Dial } from '../ports/channel.ts';
import type { AgentMeeting, ExecInput, ExecOutput, ExecStart } from '../ports/guest-agent.ts';
import { createMeetAgent } from './agent.ts';
import { AGENT_FRAME, agentFrame } from './agent-frames.ts';

const NEVER = new AbortController().signal;
const soon = (): AbortSignal => AbortSignal.timeout(60_000);
const sh = (command: string, more: Partial<ExecStart> = {}): ExecStart => ({
  ...{ command, args: [], directory: '/', environment: {}, shell: true, user: '' },
  ...{ timeoutSeconds: 0, hasStdin: false, ...more },
});

async function meet(dial: Dial, isRunning = () => true): Promise<AgentMeeting> {
  const random = (count: number): Uint8Array => new Uint8Array(count);
  const meeting = await createMeetAgent({ clock, randomBytes: random })({ is: 'connections', dial }, isRunning, soon());
  onTestFinished(() => meeting.close());
  return meeting;
}

const met = (process: AgentProcess) => meet(process.dial);

async function* inputs(...all: ExecInput[]): AsyncGenerator<ExecInput> {
  yield* all;
}

async function* silence(): AsyncGenerator<never> {
  await new Promise(() => undefined);
}

async function ran(outputs: AsyncIterable<ExecOutput>) {
  const text = { stdout: '', stderr: '' };
  for await (const one of outputs) {
    if (one.is === 'exit') return { ...text, code: one.code };
    text[one.is] += Buffer.from(one.data).toString('latin1');
  }
  throw new Error('it ended without a status');
}

test('an agent is waited for, runs programs, and each has a connection of its own', async () => {
  await using process = await startAgent();
  const { agent } = await met(process);
  expect(agent.info).toMatchObject({ version: '1', features: expect.arrayContaining(['tty', 'clock']) });
  expect(await ran(agent.exec(sh('echo out; echo err >&2; exit 3'), inputs(), NEVER))).toEqual({
    ...{ stdout: 'out\n', stderr: 'err\n', code: 3 },
  });
  const all = await Promise.all(
    Array.from({ length: 50 }, (_, i) => ran(agent.exec(sh(`echo ${i}`), inputs(), NEVER))),
  );
  expect(all.map(({ stdout }) => stdout)).toEqual(all.map((_, i) => `${i}\n`));
  const bytes = 20 << 20;
  async function* typed(): AsyncGenerator<ExecInput> {
    for (let sent = 0; sent < bytes; sent += 1 << 20) yield { is: 'stdin', data: Buffer.alloc(1 << 20, 'x') };
  }
  let came = 0;
  for await (const one of agent.exec(sh('cat', { hasStdin: true }), typed(), NEVER))
    if (one.is === 'stdout') came += one.data.length;
  expect(came).toBe(bytes);
});

test('more than a hundred at once are refused, and one that has ended makes room', async () => {
  await using process = await startAgent();
  const { agent } = await met(process);
  const gone = new AbortController();
  const open = Array.from({ length: 100 }, () =>
    agent.exec(sh('echo up; exec cat', { hasStdin: true }), silence(), gone.signal)[Symbol.asyncIterator](),
  );
  for (const one of open) expect((await one.next()).value).toMatchObject({ is: 'stdout' });
  await expect(ran(agent.exec(sh('true'), inputs(), NEVER))).rejects.toMatchObject({ kind: 'full' });
  await open[0]?.return?.();
  expect(await ran(agent.exec(sh('true'), inputs(), NEVER))).toMatchObject({ code: 0 });
  gone.abort(new Error('gone'));
  for (const one of open.slice(1)) await expect(one.next()).rejects.toThrow('gone');
});

test('an agent that is killed is gone at once, and so is what it ran', async () => {
  await using process = await startAgent();
  const { agent, over } = await met(process);
  const running = agent.exec(sh('echo up; exec sleep 5'), silence(), NEVER)[Symbol.asyncIterator]();
  await running.next();
  await process.kill();
  await expect(running.next()).rejects.toMatchObject({ kind: 'tool' });
  expect(await over).toMatch(/does not answer/);
  await expect(ran(agent.exec(sh('true'), inputs(), NEVER))).rejects.toMatchObject({ kind: 'tool' });
});

test('one that is not there yet is met when it is, and a paused guest is not asked', async () => {
  let agent: AgentProcess | undefined;
  let isRunning = false;
  let looks = 0;
  let asked = 0;
  const dial: Dial = async (...to) => {
    asked++;
    if (!agent) throw new Fault('tool', 'nobody listens');
    return agent.dial(...to);
  };
  const meeting = meet(dial, () => {
    looks++;
    return isRunning;
  });
  await vi.waitFor(() => expect(looks).toBeGreaterThan(2), 10_000);
  expect(asked).toBe(0);
  isRunning = true;
  await vi.waitFor(() => expect(asked).toBeGreaterThan(1), 10_000);
  agent = await startAgent();
  await using _ = agent;
  expect((await meeting).agent.info.version).toBe('1');
});

test('where there is no way to any connection that is said', async () => {
  const dial: Dial = () => Promise.reject(new Fault('refused', 'There is no vsock'));
  await expect(meet(dial)).rejects.toMatchObject({ kind: 'refused', message: 'There is no vsock' });
});

/** In a network namespace of its own, with an echo for one client where an SSH server would be. */
const WITH_ECHO = 'ip link set lo up; python3 -c "$0" >/dev/null & exec "$@"';
const ECHO = `
import socket
s = socket.create_server(('127.0.0.1', 22))
c, _ = s.accept()
s.close()
while (b := c.recv(65536)): c.sendall(b)
`;

/** One of an older version: the feature has another name. */
const withoutEnds =
  (dial: Dial): Dial =>
  async (port, signal) => {
    const channel = await dial(port, signal);
    return {
      ...channel,
      async *read(ended) {
        for await (const bytes of channel.read(ended))
          yield Buffer.from(Buffer.from(bytes).toString('latin1').replace('"ends"', '"none"'), 'latin1');
      },
    };
  };

test.each([
  ['with its server', (dial: Dial) => dial],
  ['of an older agent when both are silent', withoutEnds],
])('the way to the SSH server of the guest ends %s, and without a server at once', async (_, by) => {
  await using process = await startAgent(['unshare', '--net', 'sh', '-c', WITH_ECHO, ECHO]);
  const { agent } = await meet(by(process.dial));
  const bytes = Buffer.alloc(1 << 20, 'abc');
  async function* typed(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  const all = async () => {
    const came: Uint8Array[] = [];
    for await (const piece of agent.ssh(typed(), NEVER)) came.push(piece);
    return Buffer.concat(came);
  };
  expect((await vi.waitFor(all, 20_000)).equals(bytes)).toBe(true);
  await expect(all()).rejects.toMatchObject({ kind: 'tool' });
});

test('a clock is told the time; by an agent that serves no guest it is not set', async () => {
  await using process = await startAgent();
  const { agent } = await met(process);
  expect(Math.abs((await agent.setClock?.(soon())) ?? Number.NaN)).toBeLessThan(5_000);
});

test("upstream's agent, which has no features, runs programs too", async () => {
  const directory = mkdtempSync(join(tmpdir(), 'fl-upstream-'));
  const path = join(directory, 'vsock');
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      const asked: unknown = JSON.parse(bytes.subarray(5, 5 + bytes.readUInt32BE(1)).toString());
      const isInfo = typeof asked === 'object' && asked !== null && 'op' in asked && asked.op === 'info';
      const said = isInfo ? JSON.stringify({ version: 'v0.1.0', uname: 'Linux', uptime: 1 }) : 'ran';
      socket.write(agentFrame(8, Buffer.from('of a newer one'))); // passed over
      socket.write(agentFrame(AGENT_FRAME.stdout, Buffer.from(said)));
      socket.end(agentFrame(AGENT_FRAME.exit, Buffer.from('{"code":0}')));
    });
  }).listen({ path });
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const { agent } = await meet(async () => {
    const socket = connect({ path });
    await once(socket, 'connect');
    return channelOf(socket);
  });
  expect(agent.info).toEqual({ version: 'v0.1.0', uname: 'Linux', features: [] });
  expect(agent.setClock).toBeUndefined();
  expect(await ran(agent.exec(sh('true'), inputs(), NEVER))).toMatchObject({ stdout: 'ran', code: 0 });
  const terminal = { rows: 1, columns: 1, term: 'x' };
  await expect(ran(agent.exec(sh('true', { terminal }), inputs(), NEVER))).rejects.toMatchObject({ kind: 'refused' });
});

test('a guest that goes down is known by its agent’s word and the silence of its kernel', async () => {
  const process = await startAgent();
  await using _ = process;
  (await process.connect()).destroy(); // it listens by now
  let isHalted = false;
  let dialled = 0;
  const dial: Dial = async (port, signal) => {
    dialled++;
    if (!isHalted) return process.dial(port, signal);
    await clock.sleep(2_000, signal); // so long a VMM waits for an answer
    throw new Fault('tool', 'it was closed without an answer');
  };
  const meeting = await meet(dial);
  expect(meeting.agent.info.features).toContain('watch');
  // To look for it, to ask what it is, and to hear of its end, which it has read before it runs anything more.
  await vi.waitFor(() => expect(dialled).toBe(3), 10_000);
  await ran(meeting.agent.exec(sh('true'), inputs(), NEVER));
  globalThis.process.kill(process.pid, 'SIGTERM');
  await vi.waitFor(() => expect(process.dial(1024, soon())).rejects.toThrow(), 10_000);
  isHalted = true;
  expect(await meeting.over).toBe('its guest has shut down');
  expect(meeting.hasHalted?.()).toBe(true);
});
