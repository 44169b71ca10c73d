import { existsSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startAgent } from '../../test/support/agent-process.ts';
import { Fault } from '../domain/fault.ts';
import type { AgentBytes, AgentDoor, DialAgent } from '../ports/guest-ports.ts';
import { agentSockets } from './agent-socket.ts';

/** A frame of the agent's protocol: its type, the length, the payload. */
function frame(type: number, payload: string): Buffer {
  const head = Buffer.from([type, 0, 0, 0, 0]);
  head.writeUInt32BE(Buffer.byteLength(payload), 1);
  return Buffer.concat([head, Buffer.from(payload)]);
}

async function served(dial: DialAgent) {
  const directory = await mkdtemp(join(tmpdir(), 'fl-sock-'));
  const path = join(directory, 'guest-agent.vsock');
  const uses: object[] = [];
  await writeFile(path, ''); // what a dead daemon left
  const stop = await agentSockets(4)({ path, dial, told: (use) => uses.push(use) });
  onTestFinished(async () => {
    await stop();
    await rm(directory, { recursive: true });
  });
  const open = (): Socket => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.on('error', () => undefined);
    onTestFinished(() => void socket.destroy());
    return socket;
  };
  return { path, uses, stop, open };
}

/** By a connection of its own to an agent that is a process here. */
function over(socket: Socket): AgentBytes {
  return {
    write: (bytes) => new Promise((resolve) => socket.write(bytes, () => resolve())),
    read: () => socket.iterator({ destroyOnReturn: false }),
    end: () => void socket.end(),
    close: () => void socket.destroy(),
  };
}

async function all(socket: Socket): Promise<string> {
  const came: Buffer[] = [];
  for await (const piece of socket) came.push(piece as Buffer);
  return Buffer.concat(came).toString('latin1');
}

test('upstream’s client runs a command: CONNECT, OK, frames', async () => {
  await using agent = await startAgent();
  const ready = [await agent.connect(), await agent.connect()];
  const { path, uses, open } = await served(() => {
    const next = ready.shift();
    if (!next) throw new Fault('tool', 'none left');
    return over(next);
  });
  expect(statSync(path).mode & 0o777).toBe(0o660);
  expect(statSync(path).gid).toBe(4);
  const exec = {
    cmd: 'echo hello; exit 3',
    args: [],
    cwd: '',
    env: {},
    shell: true,
    user: '',
    timeout_sec: 0,
    has_stdin: false,
  };
  const socket = open();
  socket.write('CONNECT 1024\n');
  const first = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
  expect(first.toString()).toMatch(/^OK \d+\n$/);
  socket.write(frame(1, JSON.stringify({ version: 1, op: 'exec', exec })));
  expect(await all(socket)).toBe(Buffer.concat([frame(4, 'hello\n'), frame(6, '{"code":3}')]).toString('latin1'));
  // One that says all at once, as its frames may come together.
  const ping = open();
  ping.write(Buffer.concat([Buffer.from('CONNECT 1024\n'), frame(1, '{"version":1,"op":"ping"}')]));
  expect((await all(ping)).replace(/^OK \d+\n/, '')).toBe(frame(6, '{"code":0}').toString('latin1'));
  await vi.waitFor(() => expect(uses).toMatchObject([{ door: 1024, bytesOut: 26 }, { door: 1024 }]));
});

test('bytes of 1025 go as they are, each end by itself', async () => {
  const doors: AgentDoor[] = [];
  const { open } = await served((door) => {
    doors.push(door);
    const typed: Buffer[] = [];
    const ended = Promise.withResolvers<void>();
    return {
      write: async (bytes) => void typed.push(Buffer.from(bytes)),
      async *read() {
        yield Buffer.from('SSH-2.0-x\r\n');
        await ended.promise;
        yield Buffer.concat(typed);
      },
      end: () => ended.resolve(),
      close: () => undefined,
    };
  });
  const socket = open();
  socket.write('CONNECT 1025\nfirst');
  socket.end(' and last');
  expect(await all(socket)).toMatch(/^OK \d+\nSSH-2\.0-x\r\nfirst and last$/);
  expect(doors).toEqual([1025]);
});

test.each(['CONNECT 22\n', 'connect 1024\n', 'CONNECT 10244\n', 'GET / HTTP/1.1\r\n', '\n', 'x'.repeat(40), ''])(
  '%j is hung up on, and nobody is asked',
  async (greeting) => {
    const { open } = await served(() => {
      throw new Error('it was asked');
    });
    const socket = open();
    socket.end(greeting);
    expect(await all(socket)).toBe('');
  },
);

test('an agent that is not there is hung up on; who goes away closes the agent’s side; a stop leaves nothing', async () => {
  let is = false;
  const closed = Promise.withResolvers<void>();
  const { open, stop, path } = await served(() => {
    if (!is) throw new Fault('tool', 'gone');
    return {
      write: async () => undefined,
      // biome-ignore lint/correctness/useYield: it says nothing
      async *read() {
        await closed.promise;
      },
      // Whose other side has ended hangs up.
      end: () => closed.resolve(),
      close: () => closed.resolve(),
    };
  });
  const early = open();
  early.write('CONNECT 1024\n');
  expect(await all(early)).toBe('');
  is = true;
  const socket = open();
  socket.write('CONNECT 1024\n');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.destroy();
  await closed.promise;
  const last = open();
  last.write('CONNECT 1024\n');
  await new Promise((resolve) => last.once('data', resolve));
  await stop();
  expect(existsSync(path)).toBe(false);
});
