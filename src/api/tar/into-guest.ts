import { Fault } from '../../domain/fault.ts';
import type { FileChange, FileContent } from '../../ports/guest-files.ts';
import type { FileServices } from '../../service/files.ts';
import { BadTar } from '../../tar/bad-tar.ts';
import { ByteReader } from '../../tar/byte-reader.ts';
import type { Bytes, TarEntry } from '../../tar/entry.ts';
import { TarReader } from '../../tar/reader.ts';

/** Directories whose times are set last: what is made in them changes those. */
const MAX_DIRECTORIES = 100_000;

/** What was made of an archive. */
export interface Unpacked {
  /** With directories and links. */
  readonly files: number;
  readonly bytes: bigint;
}

interface Place {
  readonly path: Uint8Array;
  readonly below?: Uint8Array;
}

/**
 * Makes what an archive holds below a directory of a guest. Each name is gone to by the agent from that directory on, never
 * through a link, whatever the archive made or the guest has meanwhile.
 * @throws Fault `invalid` where it is no archive that can be taken
 */
export async function unpackIn(
  files: FileServices,
  { uid, path }: { readonly uid: string; readonly path: Uint8Array },
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Unpacked> {
  const told = { files: 0, bytes: 0n };
  const directories: { readonly at: Place; readonly entry: TarEntry }[] = [];
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
  const bytes = new ByteReader(buffersOf(body));
  const archive = new TarReader(bytes);
  for (let entry = await next(archive); entry; entry = await next(archive)) {
    const below = belowOf(entry.name);
    const at = { path, ...(below.length > 0 && { below }) };
    if (below.length === 0 && entry.type !== 'directory') throw noTar('an entry other than a directory has no name');
    if (entry.type === 'directory') {
      if (below.length > 0) await change({ is: 'make directory', ...at, parents: true });
      if (directories.length >= MAX_DIRECTORIES)
        throw new Fault('full', `It has more than ${MAX_DIRECTORIES} directories`);
      directories.push({ at, entry });
    } else if (entry.type === 'file') {
      const writing = { ...at, ...attributesOf(entry) };
      told.bytes += await files.writeFile({ uid, writing }, contentOf(archive, entry), signal);
    } else await replacing(changeOf(entry, at));
    told.files++;
  }
  if (!archive.isEnded) throw noTar('it is cut off: its end is missing');
  // What stands behind the end is nobody's, and its sender waits until it is taken.
  await bytes.skip(Number.POSITIVE_INFINITY);
  for (const { at, entry } of directories.reverse()) await change({ is: 'set', ...at, ...attributesOf(entry) });
  return told;
}

async function next(archive: TarReader): Promise<TarEntry | undefined> {
  try {
    return await archive.next();
  } catch (error) {
    throw asFault(error);
  }
}

/** Holes stay holes. */
async function* contentOf(archive: TarReader, { size, sparse }: TarEntry): AsyncGenerator<FileContent> {
  const parts = sparse?.parts ?? [[0, size] as const];
  let at = 0;
  const hole = function* (until: number): Generator<FileContent> {
    if (until > at) yield { is: 'hole', bytes: BigInt(until - at) };
    at = until;
  };
  let waiting: Buffer = Buffer.alloc(0);
  for (const [offset, length] of parts) {
    yield* hole(offset);
    while (at < offset + length) {
      if (waiting.length === 0) waiting = await dataOf(archive);
      const data = waiting.subarray(0, offset + length - at);
      waiting = waiting.subarray(data.length);
      at += data.length;
      yield { is: 'data', data };
    }
  }
  yield* hole(sparse?.size ?? size);
}

async function dataOf(archive: TarReader): Promise<Buffer> {
  try {
    const data = await archive.data();
    if (data) return data;
  } catch (error) {
    throw asFault(error);
  }
  throw noTar('it is cut off in the middle');
}

async function* buffersOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const piece of body) yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
}

const attributesOf = ({ mode, uid, gid, mtime }: TarEntry) => ({
  ...{ mode, owner: { uid, gid }, modified: { seconds: BigInt(mtime.seconds), nanos: Number(mtime.fraction) } },
});

function changeOf(entry: TarEntry, at: Place): FileChange {
  switch (entry.type) {
    case 'hard link':
      return { is: 'make link', ...at, to: belowOf(entry.link) };
    case 'symlink':
      return { is: 'make symlink', ...at, target: Buffer.from(entry.link, 'latin1'), ...attributesOf(entry) };
    case 'fifo':
      return { is: 'make fifo', ...at, ...attributesOf(entry) };
    default: {
      const type = entry.type === 'character device' ? 'character' : 'block';
      const [major, minor] = entry.device;
      return { is: 'make device', ...at, type, major, minor, ...attributesOf(entry) };
    }
  }
}

/** The names below the directory that it is unpacked in. @throws Fault `invalid` for one that leads out of it */
function belowOf(name: Bytes): Uint8Array {
  const names = name.split('/');
  if (names.includes('..')) throw noTar('a name has ".." in it');
  return Buffer.from(names.filter((one) => one !== '' && one !== '.').join('/'), 'latin1');
}

const asFault = (error: unknown): unknown => (error instanceof BadTar ? noTar(`it ${error.message}`) : error);

const noTar = (why: string): Fault =>
  Fault.invalid([{ field: 'body', description: `is no tar archive that can be taken: ${why}` }]);
