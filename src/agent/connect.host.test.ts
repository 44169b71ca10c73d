import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type AgentProcess, startAgent } from '../../test/support/agent-process.ts';
import { clock } from '../host/clock.ts';
import type { AgentWay, GuestAgent } from '../ports/guest-agent.ts';
import type { PortOutput, PortTarget } from '../ports/guest-ports.ts';
import { createMeetAgent } from './agent.ts';
import { AgentDecoder, agentFrame } from './agent-frames.ts';
import { connectRequest } from './connect.ts';

const never = new AbortController().signal;

type By = 'a port' | 'a vsock';

/** By a port with several streams in it, or by connections that pass on no end of a half. */
async function meet(process: AgentProcess, by: By): Promise<GuestAgent> {
  const way: AgentWay =
    by === 'a port' ? { is: 'channel', channel: await process.channel() } : { is: 'connections', dial: process.dial };
  const { agent, close } = await createMeetAgent({ clock, randomBytes })(way, () => true, never);
  onTestFinished(close);
  return agent;
}

/** A server of this machine: the agent's own loopback is ours here. */
async function serve(host: string, take: (socket: Socket) => void): Promise<PortTarget & { is: 'tcp' }> {
  const server = await listening(createServer({ allowHalfOpen: true }, take), { host, port: 0 });
  const at = server.address();
  return { is: 'tcp', host: '', port: typeof at === 'object' && at ? at.port : 0 };
}

async function listening(server: Server, where: { host: string; port: number } | { path: string }): Promise<Server> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    socket.on('error', () => undefined);
    sockets.add(socket);
  });
  await new Promise<void>((resolve) => server.listen(where, resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server;
}

/** Sends back what comes, and a word behind its end. */
const echo = (socket: Socket): void => {
  socket.on('data', (bytes) => void socket.write(bytes));
  socket.on('end', () => void socket.end('half closed'));
};

async function* these(...all: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const one of all) yield Buffer.from(one);
}

/** Without an end. */
async function* silence(...first: string[]): AsyncGenerator<Uint8Array> {
  yield* these(...first);
  await new Promise(() => undefined);
}

async function all(outputs: AsyncIterable<PortOutput>): Promise<Buffer> {
  const came: Uint8Array[] = [];
  for await (const one of outputs) if (one.is === 'data') came.push(one.data);
  return Buffer.concat(came);
}

const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;
const memoryKb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

describe.each<By>(['a port', 'a vsock'])('the agent, as a way to ports, by %s', (by) => {
  test('bytes come and go whole, with ends of each way', async () => {
    await using process = await startAgent();
    const agent = await meet(process, by);
    const target = await serve('127.0.0.1', echo);
    const bytes = randomBytes(5 << 20);
    const came = await all(agent.connect(target, these(bytes), never));
    expect(came.equals(Buffer.concat([bytes, Buffer.from('half closed')]))).toBe(true);
  });

  test('what the server says first comes, though nobody has said anything', async () => {
    await using process = await startAgent();
    const agent = await meet(process, by);
    const target = await serve('127.0.0.1', (socket) => void socket.write('SSH-2.0-x\r\n'));
    for await (const one of agent.connect(target, silence(), never))
      if (one.is === 'data') {
        expect(Buffer.from(one.data).toString()).toBe('SSH-2.0-x\r\n');
        break;
      }
  });

  test('a server that ends first still takes what comes', async () => {
    await using process = await startAgent();
    const agent = await meet(process, by);
    const took = Promise.withResolvers<string>();
    const target = await serve('127.0.0.1', (socket) => {
      let text = '';
      socket.on('data', (bytes) => {
        text += bytes.toString();
      });
      socket.on('end', () => took.resolve(text));
      socket.end('bye');
    });
    const ended = Promise.withResolvers<void>();
    async function* late() {
      await ended.promise;
      yield Buffer.from('late');
    }
    const said: string[] = [];
    for await (const one of agent.connect(target, late(), never)) {
      said.push(one.is === 'data' ? Buffer.from(one.data).toString() : one.is);
      if (one.is === 'end') ended.resolve();
    }
    expect(said).toEqual(['opened', 'bye', 'end']);
    expect(await took.promise).toBe('late');
  });

  test('a server on ::1 alone, at an address, and at a unix socket', async () => {
    await using process = await startAgent();
    const agent = await meet(process, by);
    const six = await serve('::1', echo);
    const there = await serve('127.0.0.3', echo);
    const directory = await mkdtemp(join(tmpdir(), 'fl-ports-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const path = join(directory, 'x.sock');
    await listening(createServer({ allowHalfOpen: true }, echo), { path });
    const targets: PortTarget[] = [six, { ...six, host: '::1' }, { ...there, host: '127.0.0.3' }, { is: 'unix', path }];
    for (const target of targets)
      expect((await all(agent.connect(target, these('a'), never))).toString()).toBe('ahalf closed');
  });

  test('where nobody listens it is told, and later there is somebody', async () => {
    await using process = await startAgent();
    const agent = await meet(process, by);
    const server = await listening(createServer(), { host: '127.0.0.1', port: 0 });
    const at = server.address();
    const port = typeof at === 'object' && at ? at.port : 0;
    await new Promise((resolve) => server.close(resolve));
    const target = { is: 'tcp', host: '', port } as const;
    const files = openFiles(process.pid);
    for (let i = 0; i < 150; i++)
      await expect(all(agent.connect(target, these('a'), never))).rejects.toMatchObject({
        ...{ kind: 'refused', message: 'nobody listens there' },
      });
    await expect(all(agent.connect({ is: 'unix', path: '/run/nowhere' }, these(), never))).rejects.toMatchObject({
      ...{ kind: 'refused', message: 'there is no such socket' },
    });
    // A connection by which it was met may have been open before.
    await vi.waitFor(() => expect(openFiles(process.pid)).toBeLessThanOrEqual(files));
    await listening(createServer({ allowHalfOpen: true }, echo), { host: '127.0.0.1', port });
    expect((await all(agent.connect(target, these('a'), never))).toString()).toBe('ahalf closed');
  });

  test('where nobody listens it does not meet itself', async () => {
    // A way out has one port here, which is the one that is asked for.
    const script = 'ip link set lo up && echo 40001 40001 >/proc/sys/net/ipv4/ip_local_port_range && exec "$@"';
    await using process = await startAgent(['unshare', '--net', 'sh', '-ec', script, 'sh']);
    const agent = await meet(process, by);
    for (const host of ['', '127.0.0.1', '::1'])
      await expect(all(agent.connect({ is: 'tcp', host, port: 40001 }, these('a'), never))).rejects.toMatchObject({
        ...{ kind: 'refused', message: 'nobody listens there' },
      });
  });

  test('a server that resets is told as that, behind what it had said', async () => {
    await using process = await startAgent();
    const agent = await meet(process, by);
    const target = await serve('127.0.0.1', (socket) => {
      socket.write('begun');
      socket.once('data', () => socket.resetAndDestroy());
    });
    const said: string[] = [];
    const cut = (async () => {
      for await (const one of agent.connect(target, silence('x'), never))
        if (one.is === 'data') said.push(Buffer.from(one.data).toString());
    })();
    await expect(cut).rejects.toMatchObject({ kind: 'tool' });
    expect(said.join('')).toBe('begun');
  });

  test('who leaves closes the connection in the guest; one that is not read holds up nobody else', async () => {
    await using process = await startAgent();
    const agent = await meet(process, by);
    const open = new Set<Socket>();
    const target = await serve('127.0.0.1', (socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      const flood = (): void => {
        while (socket.write(Buffer.alloc(1 << 16)));
      };
      socket.on('drain', flood);
      flood();
    });
    const leave = new AbortController();
    const stalled = agent.connect(target, silence(), leave.signal)[Symbol.asyncIterator]();
    await stalled.next();
    const other = await serve('127.0.0.1', echo);
    const many = Array.from({ length: 60 }, (_, i) => all(agent.connect(other, these(`${i}`), never)));
    expect((await Promise.all(many)).map(String)).toEqual(many.map((_, i) => `${i}half closed`));
    expect(open.size).toBe(1);
    leave.abort(new Error('left'));
    await stalled.next().catch(() => undefined);
    await vi.waitFor(() => expect(open.size).toBe(0));
    expect(memoryKb(process.pid)).toBeLessThan(4_000);
  });
});

describe('the agent, by a connection of its own', () => {
  test('bytes that come with the request are the server’s', async () => {
    await using process = await startAgent();
    const target = await serve('127.0.0.1', echo);
    const socket = await process.connect();
    socket.end(Buffer.concat([connectRequest(target), Buffer.from('at once')]));
    const came: Buffer[] = [];
    for await (const piece of socket) came.push(piece as Buffer);
    expect(Buffer.concat(came)).toEqual(Buffer.concat([agentFrame(48), Buffer.from('at oncehalf closed')]));
  });

  test('in frames each side tells its end, and what breaks the rules is hung up on', async () => {
    await using process = await startAgent();
    const target = await serve('127.0.0.1', echo);
    const ask = async (...frames: Uint8Array[]): Promise<Buffer> => {
      const socket = await process.connect();
      socket.write(Buffer.concat([connectRequest(target, { framed: true }), ...frames]));
      const came: Buffer[] = [];
      for await (const piece of socket) came.push(piece as Buffer);
      return Buffer.concat(came);
    };
    const [input, end, opened] = [agentFrame(2, Buffer.from('one')), agentFrame(3), agentFrame(48)];
    const answer = await ask(input, agentFrame(2), agentFrame(2, Buffer.from(' two')), end);
    expect(answer.subarray(0, 5)).toEqual(Buffer.from(opened));
    expect(answer.subarray(-5)).toEqual(Buffer.from(agentFrame(50)));
    const frames = [...new AgentDecoder().push(answer)].filter(({ type }) => type === 4);
    expect(Buffer.concat(frames.map(({ data }) => data)).toString()).toBe('one twohalf closed');
    const wrong: Uint8Array[][] = [
      [agentFrame(1, Buffer.from('{}'))],
      [agentFrame(4, Buffer.from('x'))],
      [agentFrame(3, Buffer.from('x'))],
      [input, end, input],
      [Buffer.from([2, 0xff, 0xff, 0xff, 0xff])],
    ];
    const files = openFiles(process.pid);
    for (const frames of wrong) expect((await ask(...frames)).subarray(-5)).not.toEqual(Buffer.from(agentFrame(50)));
    await vi.waitFor(() => expect(openFiles(process.pid)).toBeLessThanOrEqual(files), 10_000);
  });

  test('requests that are broken anywhere are answered, and nothing of them stays', async () => {
    await using process = await startAgent();
    const target = await serve('127.0.0.1', (socket) => void socket.end('x'));
    const first = await process.connect(); // all that it listens at is open by now
    first.write(agentFrame(1, Buffer.from('{"op":"ping"}')));
    await once(first, 'data');
    first.destroy();
    const files = openFiles(process.pid);
    for (let round = 0; round < 400; round++) {
      const statistics = { version: 1, op: 'statistics', statistics: { interval_ms: 200, processes: 64 } };
      const bytes = Buffer.from(
        round % 2 ? JSON.stringify(statistics) : Buffer.from(connectRequest(target)).subarray(5).toString(),
      );
      const at = round % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (round % 8));
      const socket = await process.connect();
      socket.write(agentFrame(1, round % 3 ? bytes : bytes.subarray(0, at)));
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect([6, 7, 48, 49]).toContain(answer[0]);
      socket.destroy();
    }
    await vi.waitFor(() => expect(openFiles(process.pid)).toBeLessThanOrEqual(files), 10_000);
    expect(memoryKb(process.pid)).toBeLessThan(4_000);
  });

  test.each([
    ['{}', 'connect.port'],
    ['{"port":0}', 'connect.port'],
    ['{"port":65536}', 'connect.port'],
    ['{"port":80,"host":"web.lan"}', 'no address'],
    [`{"path":"/${'x'.repeat(200)}"}`, 'too long'],
    ['{"port":"80"}', 'number'],
    ['null', 'connect.port'],
  ])('refuses %s', async (connect, why) => {
    await using process = await startAgent();
    const socket = await process.connect();
    socket.write(agentFrame(1, Buffer.from(`{"version":1,"op":"connect","connect":${connect}}`)));
    const came: Buffer[] = [];
    for await (const piece of socket) came.push(piece as Buffer);
    const answer = Buffer.concat(came);
    expect(answer[0]).toBe(7);
    expect(answer.toString().toLowerCase()).toContain(why);
  });
});
