import { statfs } from 'node:fs/promises';
import { BadTar, show } from '../tar/bad-tar.ts';
import { ByteReader } from '../tar/byte-reader.ts';
import type { Bytes, TarEntry } from '../tar/entry.ts';
import { TarReader } from '../tar/reader.ts';
import { layerBytes, rawBytes } from './blob-reader.ts';
import { keptXattrs, MAX_NAMES, requireFits } from './ext4-limits.ts';
import { Extraction, ToolError } from './extract.ts';
import type { Outcome, Part, UnpackJob } from './job.ts';
import { type Budget, type Directory, directory, type Inode, LayerTree, lay, removeMarks } from './layer-tree.ts';
import { invalid, Refusal } from './refusal.ts';
import { END, fill, headerOf } from './tar-writer.ts';

/** Names, targets of links and attributes of directories that are held in memory, in all. */
const MAX_TEXT_BYTES = 256 << 20;
const DISK_BLOCK_BYTES = 4096;
/** As Linux. @see PATH_MAX */
const MAX_PATH_BYTES = 4095;

const NO_TIME = { seconds: 0, fraction: '' };
const ROOT_META = { mode: 0o755, uid: 0, gid: 0, mtime: NO_TIME, xattrs: new Map() };

class Beyond extends Error {
  readonly outcome: Extract<Outcome, { is: 'beyond' }>;

  constructor(outcome: Omit<Extract<Outcome, { is: 'beyond' }>, 'is'>) {
    super('beyond');
    this.outcome = { is: 'beyond', ...outcome };
  }
}

/** A place in the tree. */
interface Place {
  readonly parent: Place | undefined;
  readonly name: Bytes;
}

/**
 * Makes the tree of an image's parts below the target. All of them are read
 * and judged before anything is written; then each file of the tree is written
 * once, by the layer that has it.
 */
export async function unpack(job: UnpackJob): Promise<Outcome> {
  try {
    const tree = await readAll(job);
    const plan = planOf(tree, job);
    await requireRoom(plan, job);
    await write(plan, job);
    return { is: 'done', bytes: plan.bytes, inodes: plan.inodes };
  } catch (error) {
    if (error instanceof Beyond) return error.outcome;
    if (error instanceof ToolError) return await judged(error, job.target);
    if (error instanceof Refusal) return { is: 'refused', kind: error.kind, why: error.message };
    if (error instanceof BadTar) return { is: 'refused', kind: 'invalid', why: `a layer ${error.message}` };
    throw error;
  }
}

/** The first look at all of it: digests, limits, and what the tree comes to. */
async function readAll({ parts, limits }: UnpackJob): Promise<Directory> {
  const tree = directory(NO_TIME);
  let text = 0;
  let read = 0;
  // At most so many are in the layers read before; the current one's are counted beside them.
  let below = 0;
  let isExact = true;
  let inLayer = 0;
  const budget: Budget = {
    node() {
      inLayer++;
      if (below + inLayer <= limits.maxInodes) return;
      if (!isExact) below = countOf(tree);
      isExact = true;
      if (below + inLayer > limits.maxInodes) throw new Beyond({ what: 'inodes' });
    },
    text(bytes) {
      text += bytes;
      if (text > MAX_TEXT_BYTES)
        throw invalid(`its names, links and attributes are more than ${MAX_TEXT_BYTES >> 20} MB`);
    },
  };
  const count = (bytes: number): void => {
    read += bytes;
    if (read > limits.maxBytes) throw new Beyond({ what: 'bytes' });
  };
  for (const [number, part] of parts.entries()) {
    const layer = new LayerTree(tree, budget);
    if (part.is === 'file') {
      for await (const chunk of rawBytes(part.blob)) count(chunk.length);
      layer.add(fileEntry(part), number, 0);
    } else {
      await eachEntry(part, count, part.diffId, (entry, index) => {
        // Told at once, and not when all of it has come.
        if (read + entry.size > limits.maxBytes) throw new Beyond({ what: 'bytes' });
        requireFits(entry, keptXattrs(entry));
        layer.add(entry, number, index);
      });
    }
    lay(tree, layer.root);
    below += inLayer;
    inLayer = 0;
    isExact = false;
  }
  removeMarks(tree);
  return tree;
}

async function eachEntry(
  part: Extract<Part, { is: 'layer' }>,
  count: (bytes: number) => void,
  diffId: string | undefined,
  visit: (entry: TarEntry, index: number, archive: TarReader) => void | Promise<void>,
): Promise<void> {
  const bytes = new ByteReader(layerBytes(part.blob, count, diffId));
  const archive = new TarReader(bytes);
  let index = 0;
  for (let entry = await archive.next(); entry; entry = await archive.next()) {
    const visited = visit(entry, index++, archive);
    if (visited) await visited;
  }
  // What lies behind the end counts for the digest only.
  await bytes.skip(Number.POSITIVE_INFINITY);
}

function fileEntry({ name, blob }: Extract<Part, { is: 'file' }>): TarEntry {
  return {
    ...{ type: 'file', name: Buffer.from(name).toString('latin1'), link: '', mode: 0o644, uid: 0, gid: 0 },
    ...{ mtime: NO_TIME, size: blob.size, device: [0, 0], xattrs: new Map() },
  };
}

function countOf(tree: Directory): number {
  let count = 0;
  const left: Directory[] = [tree];
  for (let here = left.pop(); here; here = left.pop())
    for (const child of here.children.values()) {
      count++;
      if (child.is === 'directory') left.push(child);
    }
  return count;
}

interface Plan {
  /** Parents before what lies in them; the first is the root. */
  readonly directories: readonly { readonly node: Directory; readonly place: Place }[];
  /** By part and entry: all names of a file. */
  readonly files: readonly ReadonlyMap<number, readonly Place[]>[];
  readonly bytes: number;
  readonly inodes: number;
}

function planOf(tree: Directory, { parts, limits, target }: UnpackJob): Plan {
  const longest = MAX_PATH_BYTES - target.length - 1;
  const root: Place = { parent: undefined, name: '' };
  const directories: { node: Directory; place: Place; length: number }[] = [{ node: tree, place: root, length: 0 }];
  const files = parts.map(() => new Map<number, Place[]>());
  let bytes = 0;
  let inodes = 0;
  for (const { node, place, length } of directories) {
    inodes++;
    bytes += DISK_BLOCK_BYTES;
    if (node.children.size > limits.maxInDirectory)
      throw new Beyond({ what: 'directory', where: show(pathOf(place)).slice(1, -1), count: node.children.size });
    for (const [name, child] of node.children) {
      const here = { parent: place, name };
      const end = length + name.length + 1;
      if (end > longest)
        throw invalid(`its path ${show(pathOf(here))} is of ${end} bytes, and ${longest} are the most here`);
      if (child.is === 'directory') directories.push({ node: child, place: here, length: end });
      else if (note(files, child, here)) {
        inodes++;
        bytes += Math.ceil(child.bytes / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES;
      }
    }
  }
  if (inodes > limits.maxInodes + 1) throw new Beyond({ what: 'inodes' });
  return { directories, files, bytes, inodes };
}

/** @returns whether it is the first name of its file */
function note(files: readonly Map<number, Place[]>[], { part, entry }: Inode, place: Place): boolean {
  const names = files[part]?.get(entry);
  if (!names) {
    files[part]?.set(entry, [place]);
    return true;
  }
  names.push(place);
  if (names.length > MAX_NAMES)
    throw invalid(
      `its file ${show(pathOf(place))} has more than ${MAX_NAMES} names (hard links), the most that a disk can hold`,
    );
  return false;
}

function pathOf(place: Place): Bytes {
  const names: Bytes[] = [];
  for (let here: Place | undefined = place; here?.parent; here = here.parent) names.push(here.name);
  return names.reverse().join('/');
}

async function requireRoom({ bytes, inodes }: Plan, { target, limits }: UnpackJob): Promise<void> {
  const room = await roomOf(target);
  const mb = (count: number): number => Math.ceil(count / 2 ** 20);
  if (room.bytes < bytes + limits.keepFreeBytes)
    throw new Refusal(
      'full',
      `its files need ${mb(bytes)} MB, ${mb(limits.keepFreeBytes)} MB must stay free, and the disk has ${mb(room.bytes)} MB`,
    );
  if (room.inodes < inodes)
    throw new Refusal(
      'full',
      `its files need ${inodes} inodes, and the file system has ${room.inodes} left; remove files, or put the state directory on one with more`,
    );
}

async function roomOf(path: string): Promise<{ bytes: number; inodes: number }> {
  const { bavail, bsize, files, ffree } = await statfs(path);
  // Some file systems make them as they are needed, and say 0 of 0.
  return { bytes: bavail * bsize, inodes: files === 0 ? Number.POSITIVE_INFINITY : ffree };
}

async function write(plan: Plan, job: UnpackJob): Promise<void> {
  const out = new Extraction(job.target);
  try {
    for (const { node, place } of plan.directories) {
      const meta = node.meta ?? { ...ROOT_META, mtime: node.impliedAt };
      const name = pathOf(place);
      await out.write(headerOf({ ...meta, type: 'directory', name, link: '', size: 0, device: [0, 0] }));
    }
    for (const [number, part] of job.parts.entries()) {
      const files = plan.files[number];
      if (files && files.size > 0) await writePart(part, files, out);
    }
    await out.write(END);
    requireAttributes(await out.end());
  } finally {
    out.stop();
  }
}

async function writePart(part: Part, files: ReadonlyMap<number, readonly Place[]>, out: Extraction): Promise<void> {
  if (part.is === 'file') {
    const places = files.get(0) ?? [];
    await writeHeader(fileEntry(part), places, out);
    for await (const chunk of rawBytes(part.blob)) await out.write(chunk);
    await out.write(fill(part.blob.size));
    return;
  }
  await eachEntry(
    part,
    () => undefined,
    // It was looked at before; now only that it is still the same.
    part.blob.digest === undefined ? part.diffId : undefined,
    (entry, index, archive) => {
      const places = files.get(index);
      return places && writeFile(entry, places, archive, out);
    },
  );
}

async function writeFile(
  entry: TarEntry,
  places: readonly Place[],
  archive: TarReader,
  out: Extraction,
): Promise<void> {
  await writeHeader(entry, places, out);
  for (let chunk = await archive.data(); chunk; chunk = await archive.data()) await out.write(chunk);
  await out.write(fill(entry.size));
  const [first, ...others] = places.map(pathOf);
  const { mode, uid, gid, mtime } = entry;
  for (const name of others)
    await out.write(
      headerOf({
        ...{ type: 'hard link', name, link: first ?? '', mode, uid, gid, mtime, size: 0 },
        ...{ device: [0, 0], xattrs: new Map() },
      }),
    );
}

async function writeHeader(entry: TarEntry, [first]: readonly Place[], out: Extraction): Promise<void> {
  if (first) await out.write(headerOf({ ...entry, name: pathOf(first), xattrs: keptXattrs(entry) }));
}

/** tar says it, and goes on. @throws Refusal for those that ought to have been set */
function requireAttributes(said: string): void {
  for (const line of said.split('\n')) {
    if (!/xattr|extended attribute/i.test(line) || /not supported/.test(line)) continue;
    throw new ToolError(line);
  }
}

/** "No space left" is said of blocks, of inodes, and of what a file system cannot hold at all. */
async function judged({ said, message }: ToolError, target: string): Promise<Outcome> {
  const refused = (kind: 'invalid' | 'full' | 'tool', why: string): Outcome => ({ is: 'refused', kind, why });
  const line = message.replace(/\p{Cc}/gu, '?');
  if (/No space left on device/.test(said)) {
    const { bytes, inodes } = await roomOf(target);
    if (bytes < 1 << 20 || inodes < 1)
      return refused('full', `no space left on the disk: ${bytes >> 10} KiB and ${inodes} inodes are free (${line})`);
    return refused('invalid', `the file system of the state directory cannot hold a part of it (${line})`);
  }
  if (/Disk quota exceeded/.test(said)) return refused('full', `no space left in the quota of the disk (${line})`);
  // A capability whose bytes are none, a list of access that is none: another try says the same.
  if (/(?:xattr|extended attribute).*Invalid argument/i.test(said))
    return refused('invalid', `it has an attribute that Linux refuses, which no file system can hold (${line})`);
  if (/File name too long|Too many links|Argument list too long|Value too large|Numerical result/.test(said))
    return refused('invalid', `the file system of the state directory cannot hold a part of it (${line})`);
  return refused('tool', line);
}
