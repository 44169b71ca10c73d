import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { agentProgram } from '../../guest/agent.ts';
import { Fault } from '../../src/domain/fault.ts';
import type { Channel, Dial } from '../../src/ports/channel.ts';

/** The real guest agent as a process of this machine. */
export interface AgentProcess {
  readonly pid: number;
  /** Connects as the VMM's socket of its port. */
  channel(): Promise<Channel>;
  /** A connection of its own, as by a vsock, to the port 1024 or 1025. */
  connect(port?: 1025): Promise<Socket>;
  /** The same at once or not at all, as the VMM's socket of a vsock has it. */
  readonly dial: Dial;
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param within - what its command line stands behind; none: it is started as it is */
export async function startAgent(within: readonly string[] = []): Promise<AgentProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'fl-agent-'));
  const port = join(directory, 'port');
  const control = join(directory, 'control');
  const ssh = join(directory, 'ssh');
  const ways = ['--port', port, '--listen', `unix:${control}`, '--listen-ssh', `unix:${ssh}`];
  const [first = '', ...words] = [...within, agentProgram(), ...ways];
  const program = spawn(first, words, { stdio: 'inherit' });
  const ended = once(program, 'exit');
  const sockets = new Set<Socket>();
  const dial = (path: string): Promise<Socket> =>
    vi.waitFor(
      async () => {
        const socket = connect({ path });
        sockets.add(socket);
        await once(socket, 'connect');
        socket.on('error', () => undefined);
        return socket;
      },
      { timeout: 10_000 },
    );
  const kill = async (): Promise<void> => {
    program.kill('SIGKILL');
    await ended;
  };
  return {
    pid: program.pid ?? 0,
    channel: async () => channelOf(await dial(port)),
    connect: (to) => dial(to === 1025 ? ssh : control),
    dial: async (to) => {
      const socket = connect({ path: to === 1025 ? ssh : control });
      sockets.add(socket);
      try {
        await once(socket, 'connect');
      } catch (cause) {
        throw new Fault('tool', 'nobody listens', { cause });
      }
      socket.on('error', () => undefined);
      return channelOf(socket);
    },
    kill,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A socket as a channel. */
export function channelOf(socket: Socket): Channel {
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    async *read(signal) {
      const onAbort = (): void => void socket.destroy();
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        for await (const bytes of socket) yield bytes;
      } catch (error) {
        throw signal.aborted ? signal.reason : error;
      } finally {
        signal.removeEventListener('abort', onAbort);
      }
    },
    closed,
    close: () => void socket.destroy(),
  };
}
