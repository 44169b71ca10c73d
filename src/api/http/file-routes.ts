import type { FastifyReply, FastifyRequest } from 'fastify';
import { Fault } from '../../domain/fault.ts';
import type { FileContent } from '../../ports/guest-files.ts';
import type { FileServices } from '../../service/files.ts';
import { type Unpacked, unpackIn } from '../tar/into-guest.ts';
import { tarOf, zeros } from '../tar/writer.ts';
import { callOf } from './call-signal.ts';
import { type Named, uidOf } from './named.ts';
import { Query } from './query.ts';
import type { RouteOptions } from './routes.ts';
import { type Routes, STREAM, UPLOAD } from './server.ts';
import { sendStream } from './stream.ts';

const PATHS = ['/v1/microvms/:uid/files', '/v1/namespaces/:namespace/microvms/:id/files'];

interface FileRouteOptions extends RouteOptions {
  readonly files: FileServices;
}

/**
 * A guest's files over HTTP: GET answers with the content of one, PUT makes one of the request's body; with `archive=tar` a
 * tree. Nothing has its name in the guest before it is whole.
 */
export const fileRoutes =
  ({ native, files, stopped, flows }: FileRouteOptions): Routes =>
  (app) =>
    void app.register(async (own) => {
      // Of any type, and as long as it is: it is read as it is taken.
      own.removeAllContentTypeParsers();
      own.addContentTypeParser('*', (_request, body, done) => done(null, body));
      for (const path of PATHS) {
        own.get(path, STREAM, async (request, reply) => {
          const { query, uid, path } = await wantedOf(request, ['path', 'archive', 'trusted']);
          const call = callOf(reply, { stopped, flows });
          const place = { path, follow: true };
          const root = await files.statFile({ uid, place }, call.signal);
          const isTar = isArchive(query);
          if (!isTar && root.type !== 'file')
            throw new Fault('refused', `It is a ${root.type} and no file: ask for it with archive=tar`);
          const contentType = isTar ? 'application/x-tar' : 'application/octet-stream';
          const source = isTar
            ? tarOf(files, { uid, path, root, trusted: query.flag('trusted') }, call.signal)
            : contentOf(files.readFile({ uid, place, offset: 0n, length: 0n }, call.signal));
          // What is cut off is seen by the connection's end: there is no other sign of a whole answer.
          await sendStream(reply, source, { contentType, ...call, farewell: () => undefined });
          return reply;
        });
        own.put(path, UPLOAD, async (request, reply) => {
          const { query, uid, path } = await wantedOf(request, ['path', 'archive', 'mode', 'owner']);
          const call = callOf(reply, { stopped, flows });
          const body = (request.body ?? nothing()) as AsyncIterable<Uint8Array>;
          if (isArchive(query)) {
            if (query.text('mode') !== '' || query.text('owner') !== '')
              throw Fault.invalid([{ field: 'mode', description: 'and owner are in the archive: leave them out' }]);
            return answer(reply, await unpackIn(files, { uid, path }, body, call.signal));
          }
          // A link that leads to a file is gone through, as by cp; one that leads nowhere is replaced.
          const follow = await isThere(files, { uid, path }, call.signal);
          const writing = { path, follow, ...attributesOf(query) };
          const bytes = await files.writeFile({ uid, writing }, piecesOf(body), call.signal);
          return answer(reply, { files: 1, bytes });
        });
      }

      const wantedOf = async (request: FastifyRequest, known: readonly string[]) => {
        const query = new Query(request.query, known);
        const path = Buffer.from(query.text('path'));
        if (path[0] !== 0x2f || path.includes(0))
          throw Fault.invalid([{ field: 'path', description: 'must be given, absolute, as in ?path=/etc/hostname' }]);
        return { query, path, uid: await uidOf(native, request.params as Named) };
      };
    });

const answer = (reply: FastifyReply, { files, bytes }: Unpacked): FastifyReply =>
  reply.type('application/json; charset=utf-8').send(JSON.stringify({ files, bytes: String(bytes) }));

function isArchive(query: Query): boolean {
  const archive = query.text('archive');
  if (archive === '' || archive === 'tar') return archive === 'tar';
  throw Fault.invalid([{ field: 'archive', description: 'must be tar, or left out' }]);
}

/** @throws Fault `invalid` */
function attributesOf(query: Query): { mode?: number; owner?: { uid: number; gid: number } } {
  const [mode, owner] = [query.text('mode'), query.text('owner')];
  if (mode !== '' && !/^[0-7]{1,4}$/.test(mode))
    throw Fault.invalid([{ field: 'mode', description: 'must be octal, as in mode=0640' }]);
  const [, uid, gid = uid] = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(owner) ?? [];
  const numbers = { uid: Number(uid), gid: Number(gid) };
  if (owner !== '' && !(numbers.uid <= 0xffff_fffe && numbers.gid <= 0xffff_fffe))
    throw Fault.invalid([{ field: 'owner', description: 'must be UID or UID:GID, as in owner=1000:100' }]);
  return { ...(mode !== '' && { mode: Number.parseInt(mode, 8) }), ...(owner !== '' && { owner: numbers }) };
}

async function isThere(
  files: FileServices,
  { uid, path }: { readonly uid: string; readonly path: Uint8Array },
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await files.statFile({ uid, place: { path, follow: true } }, signal);
    return true;
  } catch (error) {
    if (error instanceof Fault && error.kind === 'not_found') return false;
    throw error;
  }
}

async function* contentOf(readings: ReturnType<FileServices['readFile']>): AsyncGenerator<Uint8Array> {
  for await (const one of readings)
    if (one.is === 'data') yield one.data;
    else if (one.is === 'hole') yield* zeros(one.bytes);
}

async function* piecesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<FileContent> {
  for await (const data of body) if (data.length > 0) yield { is: 'data', data };
}

async function* nothing(): AsyncGenerator<never> {}
