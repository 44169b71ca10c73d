import { chmod, chown, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { Fault } from '../domain/fault.ts';
import type { AgentSocketWanted, ServeAgentSocket } from '../ports/agent-sockets.ts';
import type { AgentBytes, AgentDoor } from '../ports/guest-ports.ts';

/** Owner and group may speak to the agent, nobody else: they are root in the guest. */
const MODE = 0o660;
const MAX_CONNECTIONS = 32;
/** So long who connects may take to say to what, and so much he may say. */
const GREETING_MS = 10_000;
const MAX_GREETING = 32;
/** Numbers of the host's ports, as a VMM makes them up. */
const FIRST_PORT = 1 << 30;

/** @param gid - of the group whose members may use them; absent: root's alone */
export const agentSockets =
  (gid?: number): ServeAgentSocket =>
  async (wanted) => {
    const { path } = wanted;
    const sockets = new Set<Socket>();
    let isOver = false;
    let count = 0;
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined); // its end is seen by who reads it
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      void serve(socket, wanted, FIRST_PORT + count++).finally(() => socket.destroy());
    });
    server.maxConnections = MAX_CONNECTIONS;
    try {
      // What is there is a dead daemon's: the directory is ours alone.
      await rm(path, { force: true });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ path }, resolve);
      });
      if (gid !== undefined) await chown(path, -1, gid);
      await chmod(path, MODE);
    } catch (cause) {
      server.close();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Fault('tool', `Cannot listen for the guest agent at ${path}: ${why}`, { cause });
    }
    return async () => {
      if (isOver) return;
      isOver = true;
      const closed = new Promise((resolve) => server.close(resolve)); // its file goes with it
      for (const socket of sockets) socket.destroy();
      await closed;
    };
  };

async function serve(socket: Socket, { dial, told }: AgentSocketWanted, port: number): Promise<void> {
  const greeting = await greetingOf(socket);
  if (!greeting) return;
  const { door, rest } = greeting;
  let agent: AgentBytes;
  try {
    agent = dial(door);
  } catch (error) {
    if (error instanceof Fault) return; // as where nobody listens in the guest
    throw error;
  }
  const use = { door, bytesIn: rest.length, bytesOut: 0 };
  const stop = (): void => agent.close();
  socket.once('close', stop);
  try {
    await send(socket, Buffer.from(`OK ${port}\n`));
    const sent = (async () => {
      if (rest.length > 0) await agent.write(rest);
      for await (const bytes of piecesOf(socket)) {
        use.bytesIn += bytes.length;
        await agent.write(bytes);
      }
      agent.end();
    })();
    sent.catch(() => undefined); // that it is over the other way tells
    for await (const bytes of agent.read()) {
      use.bytesOut += bytes.length;
      await send(socket, bytes);
    }
    socket.end();
    await sent;
  } catch (error) {
    if (!(error instanceof Fault) && !socket.destroyed) throw error;
  } finally {
    socket.off('close', stop);
    agent.close();
    told(use);
  }
}

/** @returns undefined for who says something else, nothing, or takes too long */
async function greetingOf(socket: Socket): Promise<{ readonly door: AgentDoor; readonly rest: Buffer } | undefined> {
  const late = setTimeout(() => socket.destroy(), GREETING_MS);
  let said = Buffer.alloc(0);
  try {
    for await (const bytes of piecesOf(socket)) {
      said = Buffer.concat([said, bytes]);
      const end = said.indexOf('\n');
      if (end < 0 && said.length <= MAX_GREETING) continue;
      const [, door] = /^CONNECT (1024|1025)\r?$/.exec(said.subarray(0, Math.max(0, end)).toString('latin1')) ?? [];
      if (door === undefined) return undefined;
      return { door: door === '1024' ? 1024 : 1025, rest: said.subarray(end + 1) };
    }
  } catch {
    // it was closed
  } finally {
    clearTimeout(late);
  }
  return undefined;
}

/** By itself the end of reading would end what is still to be written, too. */
const piecesOf = (socket: Socket): AsyncIterable<Buffer> => socket.iterator({ destroyOnReturn: false });

const send = (socket: Socket, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve) => socket.write(bytes, () => resolve()));
