import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import { type AgentProcess, startAgent } from '../../test/support/agent-process.ts';
import { clock } from '../host/clock.ts';
import type { AgentMeeting, ExecInput, ExecOutput, ExecStart } from '../ports/guest-agent.ts';
import { createMeetAgent } from './agent.ts';
import { AGENT_FRAME, agentFrame, execRequest } from './agent-frames.ts';
import { FRAME, greeting, PortDecoder, type PortFrame, portFrame } from './port-frames.ts';

const NEVER = new AbortController().signal;
const SH: ExecStart = {
  ...{ command: '', args: [], directory: '/', environment: {}, shell: true, user: '' },
  ...{ timeoutSeconds: 0, hasStdin: false },
};

const sh = (command: string, more: Partial<ExecStart> = {}): ExecStart => ({ ...SH, command, ...more });

async function meet(process: AgentProcess): Promise<AgentMeeting & { readonly session: { close(): void } }> {
  const meeting = await createMeetAgent({ clock, randomBytes })(
    { is: 'channel', channel: await process.channel() },
    () => true,
    NEVER,
  );
  return { ...meeting, session: meeting };
}

async function* inputs(...all: ExecInput[]): AsyncGenerator<ExecInput> {
  yield* all;
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Without an end: the caller types nothing. */
async function* silence(): AsyncGenerator<ExecInput> {
  await new Promise(() => undefined);
}

async function ran(outputs: AsyncIterable<ExecOutput>) {
  const text = { stdout: '', stderr: '' };
  for await (const one of outputs) {
    if (one.is === 'exit') return { ...text, code: one.code, timedOut: one.timedOut };
    text[one.is] += Buffer.from(one.data).toString('latin1');
  }
  throw new Error('it ended without a status');
}

const memoryKb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

describe('the agent, by its port', () => {
  test('runs programs, and tells of them as a shell would', async () => {
    await using process = await startAgent();
    const { session, agent } = await meet(process);
    const run = (start: ExecStart, ...typed: ExecInput[]) => ran(agent.exec(start, inputs(...typed), NEVER));
    expect(agent.info).toMatchObject({ version: '1', features: expect.arrayContaining(['tty', 'signal']) });
    expect(await run(sh('echo out; echo err >&2; exit 3'))).toMatchObject({
      stdout: 'out\n',
      stderr: 'err\n',
      code: 3,
    });
    expect(await run({ ...SH, shell: false, command: 'no-such-program' })).toMatchObject({ code: 127 });
    expect(await run({ ...SH, shell: false, command: '/etc/passwd' })).toMatchObject({ code: 126 });
    expect(await run(sh('kill -9 $$'))).toMatchObject({ code: 137 });
    expect(await run(sh('true', { user: 'no-such-user' }))).toMatchObject({
      code: 126,
      stderr: 'no such user, or group: no-such-user\n',
    });
    expect(await run(sh('true', { directory: '/nowhere' }))).toMatchObject({
      code: 126,
      stderr: 'cannot change to the directory /nowhere: No such file or directory\n',
    });
    expect(await run(sh('echo "$A$HOME"; id -un', { user: 'nobody', environment: { A: 'é"\\\n' } }))).toMatchObject({
      stdout: Buffer.from('é"\\\n/nonexistent\nnobody\n').toString('latin1'),
    });
    expect(await run(sh('sleep 60', { timeoutSeconds: 1 }))).toMatchObject({ code: 143, timedOut: true });
    expect(await run(sh('cat', { hasStdin: true }), { is: 'stdin', data: Buffer.from('typed') })).toMatchObject({
      stdout: 'typed',
      code: 0,
    });
    // Nobody types, and nothing waits for it.
    expect(await ran(agent.exec(sh('cat'), silence(), NEVER))).toMatchObject({ stdout: '', code: 0 });
    session.close();
  });

  test('a terminal has the size that it is given', async () => {
    await using process = await startAgent();
    const { session, agent } = await meet(process);
    const start = sh('stty size; read x; stty size', {
      terminal: { rows: 30, columns: 100, term: 'vt100' },
      hasStdin: true,
    });
    const resized = Promise.withResolvers<void>();
    async function* typed(): AsyncGenerator<ExecInput> {
      await resized.promise;
      yield { is: 'resize', rows: 40, columns: 120 };
      yield { is: 'stdin', data: Buffer.from('\n') };
      await new Promise(() => undefined);
    }
    let said = '';
    for await (const one of agent.exec(start, typed(), NEVER)) {
      if (one.is === 'stdout') said += Buffer.from(one.data).toString();
      if (said.includes('30 100')) resized.resolve();
    }
    expect(said).toMatch(/30 100[\s\S]*40 120/);
    session.close();
  });

  test('a program that is left running ends nothing and holds nothing up', async () => {
    await using process = await startAgent();
    const { session, agent } = await meet(process);
    const { stdout, code } = await ran(agent.exec(sh('(echo late; exec sleep 2) & echo $!'), inputs(), NEVER));
    expect(code).toBe(0);
    const left = Number(/\d+/.exec(stdout)?.[0]);
    expect(stdout).toContain('late');
    expect(readFileSync(`/proc/${left}/cmdline`, 'utf8')).toContain('sleep');
    session.close();
  });

  test('who goes away ends what he ran', async () => {
    await using process = await startAgent();
    const { session, agent } = await meet(process);
    const gone = new AbortController();
    let pid = 0;
    const running = (async () => {
      for await (const one of agent.exec(sh('echo $$; exec sleep 600'), silence(), gone.signal))
        if (one.is === 'stdout') pid = Number(Buffer.from(one.data).toString());
    })();
    running.catch(() => undefined);
    await vi.waitFor(() => expect(pid).toBeGreaterThan(0));
    gone.abort(new Error('gone'));
    await expect(running).rejects.toThrow('gone');
    await vi.waitFor(() => expect(() => readFileSync(`/proc/${pid}/cmdline`)).toThrow());
    session.close();
  });

  test('100 MB come and go whole, and a reader that stops holds up nobody else', async () => {
    await using process = await startAgent();
    const { session, agent } = await meet(process);
    const stopped = agent.exec(sh('yes'), silence(), NEVER)[Symbol.asyncIterator]();
    await stopped.next();
    const bytes = 100 << 20;
    async function* typed(): AsyncGenerator<ExecInput> {
      for (let sent = 0; sent < bytes; sent += 1 << 20) yield { is: 'stdin', data: Buffer.alloc(1 << 20, 'x') };
    }
    let came = 0;
    for await (const one of agent.exec(sh('cat', { hasStdin: true }), typed(), NEVER))
      if (one.is === 'stdout') came += one.data.length;
    expect(came).toBe(bytes);
    expect(memoryKb(process.pid)).toBeLessThan(4_000);
    await stopped.return?.();
    session.close();
  });

  test('50 at once', async () => {
    await using process = await startAgent();
    const { session, agent } = await meet(process);
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, i) => ran(agent.exec(sh(`echo ${i}`), inputs(), NEVER))),
    );
    expect(all.map(({ stdout }) => stdout)).toEqual(all.map((_, i) => `${i}\n`));
    session.close();
  });

  test('a daemon that is killed in the middle of a frame leaves an agent that the next one meets', async () => {
    await using process = await startAgent();
    const { session, agent } = await meet(process);
    const cut = agent.exec(sh('echo $$; exec cat', { hasStdin: true }), silence(), NEVER)[Symbol.asyncIterator]();
    const first = await cut.next();
    const pid = first.done || first.value.is !== 'stdout' ? 0 : Number(Buffer.from(first.value.data).toString());
    session.close();
    await expect(cut.next()).rejects.toThrow('The guest agent is gone');
    const again = await meet(process);
    expect(await ran(again.agent.exec(sh('echo again'), inputs(), NEVER))).toMatchObject({ stdout: 'again\n' });
    await vi.waitFor(() => expect(() => readFileSync(`/proc/${pid}/cmdline`)).toThrow());
    again.session.close();
  });

  test('of data that comes in pieces the rest is nobody’s once its stream has ended, and what follows is understood', async () => {
    await using process = await startAgent();
    const channel = await process.channel();
    const mark = Buffer.concat([Buffer.of(1), randomBytes(15)]);
    const decoder = new PortDecoder(mark);
    const came: PortFrame[] = [];
    const reading = (async () => {
      for await (const piece of channel.read(NEVER))
        for (const one of decoder.push(piece)) if (typeof one !== 'string') came.push(one);
    })().catch(() => undefined);
    const open = Buffer.from([1024 >> 8, 1024 & 0xff, 0, 1, 0, 0]);
    const input = agentFrame(AGENT_FRAME.stdin, Buffer.alloc(1_000, 'a'));
    const whole = portFrame(mark, FRAME.data, 1, input);
    const cut = whole.length - 505; // half of its payload is to come
    // Byte by byte what comes first: heads lie across pieces, too.
    const first = [
      greeting(mark),
      portFrame(mark, FRAME.open, 1, open),
      portFrame(mark, FRAME.data, 1, execRequest(sh('echo over', { hasStdin: true }))),
      whole.subarray(0, cut),
    ];
    for (const byte of Buffer.concat(first)) await channel.write(Buffer.of(byte));
    await vi.waitFor(
      () => expect(came.map(({ type, stream }) => [type, stream])).toContainEqual([FRAME.end, 1]),
      20_000,
    );
    const said = Buffer.concat(came.filter(({ type }) => type === FRAME.data).map(({ payload }) => payload));
    expect(said.toString('latin1')).toContain('over\n');
    await channel.write(Buffer.concat([whole.subarray(cut), portFrame(mark, FRAME.ping, 0, Buffer.from('still'))]));
    await vi.waitFor(
      () => expect(came.map(({ payload }) => Buffer.from(payload).toString())).toContain('still'),
      20_000,
    );
    channel.close();
    await reading;
  });

  test('the way to the SSH server of the guest, with ends of each way, and without a server', async () => {
    await using process = await startAgent(['unshare', '--net', 'sh', '-c', WITH_ECHO, ECHO]);
    const { session, agent } = await meet(process);
    const bytes = randomBytes(1 << 20);
    const all = async () => {
      const came: Uint8Array[] = [];
      for await (const piece of agent.ssh(only(bytes), NEVER)) came.push(piece);
      return Buffer.concat(came);
    };
    const answer = await vi.waitFor(all, 20_000); // it listens by then
    expect(answer.equals(Buffer.concat([bytes, Buffer.from('half closed')]))).toBe(true);
    await expect(all()).rejects.toMatchObject({ kind: 'tool' });
    session.close();
  });

  test('rubbish of every kind neither ends it nor makes it grow', async () => {
    await using process = await startAgent();
    for (let round = 0; round < 20; round++) {
      const channel = await process.channel();
      const mark = Buffer.concat([Buffer.of(1), randomBytes(15)]);
      await channel.write(Buffer.concat([Buffer.from('flintlock-hello\n'), mark]));
      const frames: Buffer[] = [];
      for (let i = 0; i < 5_000; i++) {
        const payload = randomBytes(i % 40);
        const head = Buffer.concat([mark.subarray(0, 4), Buffer.of(i % 9, 0, 0, payload.length), randomBytes(4)]);
        head.writeUInt32BE(i % 200, 8);
        frames.push(head, payload);
      }
      frames.push(randomBytes(2_000));
      await channel.write(Buffer.concat(frames)).catch(() => undefined);
      channel.close();
    }
    const { session, agent } = await meet(process);
    expect(await ran(agent.exec(sh('echo still here'), inputs(), NEVER))).toMatchObject({ stdout: 'still here\n' });
    expect(memoryKb(process.pid)).toBeLessThan(4_000);
    session.close();
  });
});

/** In a network namespace of its own, with an echo for one client where an SSH server would be. */
const WITH_ECHO = 'ip link set lo up; python3 -c "$0" >/dev/null & exec "$@"';
const ECHO = `
import socket
s = socket.create_server(('127.0.0.1', 22))
print('listens', flush=True)
c, _ = s.accept()
s.close()
while (b := c.recv(65536)): c.sendall(b)
c.sendall(b'half closed')
c.close()
`;

describe('the agent, by a connection of its own', () => {
  test('the port 1025 is the guest’s own SSH server, byte for byte, with ends of each way', async () => {
    await using process = await startAgent(['unshare', '--net', 'sh', '-c', WITH_ECHO, ECHO]);
    const bytes = randomBytes(1 << 20);
    const answer = await vi.waitFor(async () => {
      const socket = await process.connect(1025);
      socket.end(bytes);
      const came: Buffer[] = [];
      for await (const piece of socket) came.push(piece as Buffer);
      expect(came.length).toBeGreaterThan(0); // it listens by now
      return Buffer.concat(came);
    }, 20_000);
    expect(answer.equals(Buffer.concat([bytes, Buffer.from('half closed')]))).toBe(true);
  });

  test.each([
    ['{"version":1,"op":"exec","exec":{}}', 'has no exec.cmd'],
    ['{"version":2,"op":"ping"}', 'version'],
    ['{"version":1,"op":"dance"}', 'op that this agent does not know'],
    [`{"version":1,"x":${'['.repeat(100)}`, 'nested too deeply'],
    ['{"version":1,"op":"ping"} x', 'has more behind its end'],
    ['{"op":"\\ud800"}', 'escape'],
    ['{"op":"\u0001"}', 'control character'],
    ['', 'is not the JSON'],
  ])('refuses %s', async (text, why) => {
    await using process = await startAgent();
    const socket = await process.connect();
    socket.write(agentFrame(AGENT_FRAME.request, Buffer.from(text)));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer[0]).toBe(AGENT_FRAME.error);
    expect(answer.toString()).toContain(why);
  });

  test('requests that are broken anywhere are answered, and nothing runs', async () => {
    await using process = await startAgent();
    const whole = JSON.stringify({
      ...{ version: 1, op: 'ping', more: [1.5e3, -0, null, { a: [true, false] }, 'é\u0007'] },
      exec: { cmd: 'true', args: ['a', 'b'], env: { A: 'b' } },
    });
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(whole);
      const at = round % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (round % 8));
      const socket = await process.connect();
      socket.write(agentFrame(AGENT_FRAME.request, round % 2 ? bytes : bytes.subarray(0, at)));
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect([AGENT_FRAME.error, AGENT_FRAME.exit]).toContain(answer[0]);
      socket.destroy();
    }
    expect(memoryKb(process.pid)).toBeLessThan(4_000);
  });
});
