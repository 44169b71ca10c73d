/**
 * The least that a start can take: Node, the libraries, the database, and a
 * bare server on a unix socket that answers a List with nothing.
 *
 *     node start.mjs DIRECTORY SERVICE
 *
 * SERVICE is the module that describes our API: a checkout's, of which Node
 * strips the types, or a package's. In JavaScript, because a package has no
 * types to strip.
 */
import { rmSync } from 'node:fs';
import { createServer } from 'node:http2';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import pino from 'pino';

const [directory, service] = process.argv.slice(2);
const { MicroVMService } = await import(service);
const socket = join(directory, 'floor.sock');
rmSync(socket, { force: true });
const database = new DatabaseSync(join(directory, 'start.db'));
database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL');
database.exec('CREATE TABLE IF NOT EXISTS starts (at INTEGER)');
const log = pino({}, pino.destination(2));
const server = createServer(
  connectNodeAdapter({
    routes: (router) => {
      router.service(MicroVMService, { listMicroVMs: () => ({ microvm: [] }) });
    },
  }),
);
server.listen(socket, () => {
  database.prepare('INSERT INTO starts VALUES (?)').run(Date.now());
  log.info('ready');
});
