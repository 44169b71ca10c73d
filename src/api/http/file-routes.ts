import type { FastifyReply, FastifyRequest } from 'fastify';
import { Fault } from '../../domain/fault.ts';
import type { FileChange, FileContent } from '../../ports/guest-files.ts';
import type { FileServices } from '../../service/files.ts';
import { noTar, type TarEntry } from '../tar/header.ts';
import { tarItems } from '../tar/reader.ts';
import { tarOf, zeros } from '../tar/writer.ts';
import { callOf } from './call-signal.ts';
import { type Named, uidOf } from './named.ts';
import { Query } from './query.ts';
import type { RouteOptions } from './routes.ts';
import { type Routes, STREAM, UPLOAD } from './server.ts';
import { sendStream } from './stream.ts';

const PATHS = ['/v1/microvms/:uid/files', '/v1/namespaces/:namespace/microvms/:id/files'];
/** Directories whose times are set last: what is made in them changes those. */
const MAX_DIRECTORIES = 100_000;

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
            return answer(reply, await unpack(files, { uid, path }, body, call.signal));
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

interface Written {
  readonly files: number;
  readonly bytes: bigint;
}

const answer = (reply: FastifyReply, { files, bytes }: Written): FastifyReply =>
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

/**
 * Makes what an archive holds below a directory. Each name is gone to by the agent from that directory on, never through a
 * link, whatever the archive made or the guest has meanwhile.
 */
async function unpack(
  files: FileServices,
  { uid, path }: { readonly uid: string; readonly path: Uint8Array },
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Written> {
  const told = { files: 0, bytes: 0n };
  const directories: { readonly at: { path: Uint8Array; below?: Uint8Array }; readonly entry: TarEntry }[] = [];
  const root = await files.statFile({ uid, place: { path, follow: true } }, signal);
  if (root.type !== 'directory') throw new Fault('refused', `It is a ${root.type} and no directory to unpack in`);
  const change = (made: FileChange): Promise<void> => files.changeFile({ uid, change: made }, signal);
  /** What is there under the name gives way, but a directory that has something in it. */
  const replacing = async (made: FileChange): Promise<void> => {
    try {
      await change(made);
    } catch (error) {
      if (!(error instanceof Fault && error.kind === 'exists')) throw error;
      const { path, below } = made;
      await change({ is: 'remove', path, ...(below && { below }), recursive: false });
      await change(made);
    }
  };
  for await (const { entry, content } of tarItems(body)) {
    const below = belowOf(entry.name);
    const at = { path, ...(below.length > 0 && { below }) };
    if (below.length === 0 && entry.type !== '5') throw noTar('an entry other than a directory has no name');
    if (entry.type === '5') {
      if (below.length > 0) await change({ is: 'make directory', ...at, parents: true });
      if (directories.length >= MAX_DIRECTORIES)
        throw new Fault('full', `It has more than ${MAX_DIRECTORIES} directories`);
      directories.push({ at, entry });
    } else if (entry.type === '0') {
      const writing = { ...at, ...ofEntry(entry) };
      told.bytes += await files.writeFile({ uid, writing }, piecesOf(content()), signal);
    } else await replacing(changeOf(entry, at));
    told.files++;
  }
  for (const { at, entry } of directories.reverse()) await change({ is: 'set', ...at, ...ofEntry(entry) });
  return told;
}

const ofEntry = ({ mode, uid, gid, modified }: TarEntry) => ({
  ...{ mode, owner: { uid, gid }, modified: { seconds: modified, nanos: 0 } },
});

function changeOf(entry: TarEntry, at: { path: Uint8Array; below?: Uint8Array }): FileChange {
  switch (entry.type) {
    case '1':
      return { is: 'make link', ...at, to: belowOf(entry.target) };
    case '2':
      return { is: 'make symlink', ...at, target: entry.target, ...ofEntry(entry) };
    case '6':
      return { is: 'make fifo', ...at, ...ofEntry(entry) };
    default: {
      const type = entry.type === '3' ? 'character' : 'block';
      return { is: 'make device', ...at, type, major: entry.major, minor: entry.minor, ...ofEntry(entry) };
    }
  }
}

/** The names below the directory that it is unpacked in. @throws Fault `invalid` for one that leads out of it */
function belowOf(name: Uint8Array): Uint8Array {
  if (name.includes(0)) throw noTar('a name holds a NUL');
  const names = Buffer.from(name).toString('latin1').split('/');
  if (names.includes('..')) throw noTar('a name has ".." in it');
  return Buffer.from(names.filter((one) => one !== '' && one !== '.').join('/'), 'latin1');
}
