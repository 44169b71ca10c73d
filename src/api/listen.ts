import type { Stats } from 'node:fs';
import { chmod, chown, lstat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { Fault } from '../domain/fault.ts';
import { type Endpoint, formatEndpoint } from './endpoint.ts';

export interface ListenOptions {
  /** The group whose members may use a unix socket; absent: the daemon's own. */
  readonly socketGid?: number;
  /** At a time; absent: `MAX_CONNECTIONS`. */
  readonly maxConnections?: number;
}

/** Owner and group may speak to the daemon, nobody else. */
const SOCKET_MODE = 0o660;
/**
 * Of one listener at a time: more are hung up on. The daemon needs files for
 * its guests too, and callers that dawdle must not take them all.
 */
export const MAX_CONNECTIONS = 4_096;
/** How long a socket's owner may take to accept before it counts as there. */
const PROBE_MS = 1_000;

/**
 * Makes a server listen.
 *
 * @returns where it does: with the real port where 0 was asked for
 * @throws Fault `refused` when somebody else has the endpoint; `tool` when the system refuses it
 */
export async function listen(server: Server, endpoint: Endpoint, options: ListenOptions = {}): Promise<Endpoint> {
  if (endpoint.kind === 'unix') await makeRoom(endpoint.path);
  server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  await bind(server, endpoint);
  if (endpoint.kind === 'unix') {
    if (options.socketGid !== undefined) await chown(endpoint.path, -1, options.socketGid);
    await chmod(endpoint.path, SOCKET_MODE);
    return endpoint;
  }
  const address = server.address();
  return typeof address === 'object' && address ? { ...endpoint, port: address.port } : endpoint;
}

function bind(server: Server, endpoint: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: NodeJS.ErrnoException): void => reject(listenFault(endpoint, cause));
    server.once('error', failed);
    const listening = (): void => {
      server.off('error', failed);
      resolve();
    };
    if (endpoint.kind === 'unix') server.listen({ path: endpoint.path }, listening);
    else server.listen({ host: addressOf(endpoint.host), port: endpoint.port }, listening);
  });
}

/** Living clients dial 127.0.0.1, and Node takes ::1 for `localhost` where the resolver names it first. */
const addressOf = (host: string): string | undefined => (host === 'localhost' ? '127.0.0.1' : host || undefined);

function listenFault(endpoint: Endpoint, cause: NodeJS.ErrnoException): Fault {
  const what = `Cannot listen on ${formatEndpoint(endpoint)}`;
  switch (cause.code) {
    case 'EADDRINUSE':
      return new Fault('refused', `${what}: it is in use; stop what listens there or choose another endpoint`, {
        cause,
      });
    case 'EACCES':
      return new Fault('refused', `${what}: not permitted; choose a port above 1023 or a directory of your own`, {
        cause,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new Fault('refused', `${what}: no such address on this host`, { cause });
    default:
      return new Fault('tool', `${what}: ${cause.message}`, { cause });
  }
}

/**
 * A directory that is not there would be EACCES to libuv. A daemon that was
 * killed leaves its socket behind: it is removed once nobody answers on it.
 */
async function makeRoom(path: string): Promise<void> {
  const what = `Cannot listen on ${formatEndpoint({ kind: 'unix', path })}`;
  if (!(await isThere(dirname(path)))) throw new Fault('refused', `${what}: its directory is not there; make it first`);
  const found = await isThere(path);
  if (!found) return;
  if (!found.isSocket()) throw new Fault('refused', `${what}: a file that is no socket is there; move it away`);
  if (await somebodyAnswers(path))
    throw new Fault('refused', `${what}: another program answers there; stop it or choose another path`);
  await unlink(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw new Fault('tool', `${what}: ${cause.message}`, { cause });
  });
}

const isThere = (path: string): Promise<Stats | undefined> => lstat(path).catch(() => undefined);

function somebodyAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path, timeout: PROBE_MS });
    const answer = (answers: boolean): void => {
      socket.destroy();
      resolve(answers);
    };
    socket.once('connect', () => answer(true));
    // Its queue is full: it is busy, not dead.
    socket.once('timeout', () => answer(true));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => answer(code !== 'ECONNREFUSED' && code !== 'ENOENT'));
  });
}
