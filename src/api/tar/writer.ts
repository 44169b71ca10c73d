import { Fault } from '../../domain/fault.ts';
import type { FilePlace, GuestFile, GuestFileType } from '../../ports/guest-files.ts';
import type { FileServices } from '../../service/files.ts';
import { BLOCK, padding, type TarType, tarHeader } from './header.ts';

/** Names that are held of a tree at once: a guest may say what it likes, and its word costs memory here. */
const MAX_NAMES = 100_000;
const MAX_DEPTH = 512;
/** Of a file that has no size, as in /proc: its size goes before its content. */
const MAX_UNSIZED = 1 << 20;
/** Set-user-ID and set-group-ID are a way into whatever host it is unpacked on as root. */
const UNTRUSTED_MODE = 0o1777;

const TYPES: Readonly<Partial<Record<GuestFileType, TarType>>> = {
  file: '0',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

type Files = Pick<FileServices, 'listFiles' | 'readFile'>;

export interface TarWanted {
  readonly uid: string;
  readonly path: Uint8Array;
  /** What is at the path. */
  readonly root: GuestFile;
  /** With devices, set-user-ID and set-group-ID. */
  readonly trusted: boolean;
}

/** An archive of a file, or of a directory with all that is in it, by their names below it. */
export async function* tarOf(files: Files, wanted: TarWanted, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* new TreeWriter(files, wanted, signal).write();
  yield new Uint8Array(2 * BLOCK);
}

class TreeWriter {
  readonly #files: Files;
  readonly #wanted: TarWanted;
  readonly #signal: AbortSignal;
  /** Files with several names, by what they are: the name that they have in the archive. */
  readonly #linked = new Map<string, Uint8Array>();
  #held = 0;

  constructor(files: Files, wanted: TarWanted, signal: AbortSignal) {
    this.#files = files;
    this.#wanted = wanted;
    this.#signal = signal;
  }

  async *write(): AsyncGenerator<Uint8Array> {
    const { root } = this.#wanted;
    if (root.type === 'directory') {
      yield this.#head(root, Buffer.from('./'), 0n);
      yield* this.#inside(new Uint8Array(), 1);
    } else yield* this.#entry(root, { follow: true }, nameOf(root), 0);
  }

  async *#inside(below: Uint8Array, depth: number): AsyncGenerator<Uint8Array> {
    if (depth > MAX_DEPTH) throw new Fault('full', `The tree is deeper than ${MAX_DEPTH} directories`);
    const { uid, path } = this.#wanted;
    const place = { path, ...(below.length > 0 ? { below } : { follow: true }) };
    const entries: GuestFile[] = [];
    for await (const some of this.#files.listFiles({ uid, place }, this.#signal)) {
      entries.push(...some);
      this.#held += some.length;
      if (this.#held > MAX_NAMES) throw new Fault('full', `The tree has more than ${MAX_NAMES} names at once`);
    }
    for (const file of entries) {
      const name = nameOf(file);
      const inside = below.length > 0 ? Buffer.concat([below, Buffer.from('/'), name]) : name;
      yield* this.#entry(file, { below: inside }, inside, depth);
    }
    this.#held -= entries.length;
  }

  async *#entry(
    file: GuestFile,
    at: Pick<FilePlace, 'below' | 'follow'>,
    name: Uint8Array,
    depth: number,
  ): AsyncGenerator<Uint8Array> {
    const isDevice = file.type === 'character' || file.type === 'block';
    if (TYPES[file.type] === undefined || (isDevice && !this.#wanted.trusted)) return; // a socket is its server's
    if (file.type === 'directory') {
      yield this.#head(file, Buffer.concat([name, Buffer.from('/')]), 0n);
      yield* this.#inside(name, depth + 1);
      return;
    }
    const known = this.#linked.get(`${file.device}:${file.inode}`);
    if (known) {
      yield tarHeader({ ...this.#fields(file), type: '1', name, target: known, size: 0n });
      return;
    }
    if (file.links > 1n && file.inode !== 0n && this.#linked.size < MAX_NAMES)
      this.#linked.set(`${file.device}:${file.inode}`, name);
    if (file.type === 'file') yield* this.#content(at, name);
    else yield this.#head(file, name, 0n);
  }

  /** With the size that it had when it was opened: what the guest sends beyond that, or lacks, ends the archive. */
  async *#content(at: Pick<FilePlace, 'below' | 'follow'>, name: Uint8Array): AsyncGenerator<Uint8Array> {
    const { uid, path } = this.#wanted;
    const request = { uid, place: { path, ...at }, offset: 0n, length: 0n };
    let opened: GuestFile | undefined;
    let [sent, size] = [0n, 0n];
    const early: Uint8Array[] = [];
    for await (const one of this.#files.readFile(request, this.#signal)) {
      if (one.is === 'file') {
        opened = one.file;
        size = opened.size;
        if (size > 0n) yield this.#head(opened, name, size);
        continue;
      }
      if (one.is === 'end') break;
      sent += one.is === 'data' ? BigInt(one.data.length) : one.bytes;
      if (size === 0n) {
        if (sent > MAX_UNSIZED) throw new Fault('full', 'A file without a size has more than 1 MiB');
        early.push(one.is === 'data' ? new Uint8Array(one.data) : new Uint8Array(Number(one.bytes)));
        continue;
      }
      if (sent > size) throw changed();
      if (one.is === 'data') yield one.data;
      else yield* zeros(one.bytes);
    }
    if (!opened) throw changed();
    if (size === 0n) {
      size = sent;
      yield this.#head(opened, name, size);
      yield* early;
    }
    if (sent !== size) throw changed();
    yield new Uint8Array(padding(size));
  }

  #head(file: GuestFile, name: Uint8Array, size: bigint): Uint8Array {
    return tarHeader({ ...this.#fields(file), type: TYPES[file.type] ?? '0', name, target: file.target, size });
  }

  #fields({ mode, uid, gid, modified, major, minor }: GuestFile) {
    return {
      ...{ mode: this.#wanted.trusted ? mode : mode & UNTRUSTED_MODE, uid, gid, modified: modified.seconds },
      ...{ major, minor },
    };
  }
}

const changed = (): Fault => new Fault('tool', 'A file was changed while it was read, and is not whole');

/** A hole, in pieces. */
export async function* zeros(bytes: bigint): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(32 << 10);
  for (let left = bytes; left > 0n; left -= BigInt(piece.length))
    yield left < BigInt(piece.length) ? piece.subarray(0, Number(left)) : piece;
}

/** @throws Fault `tool` for what no file is called */
function nameOf({ name }: GuestFile): Uint8Array {
  const isWrong =
    name.length === 0 || name.includes(0x2f) || name.includes(0) || /^\.\.?$/.test(Buffer.from(name).toString());
  if (isWrong) throw new Fault('tool', 'The guest told of a file with an impossible name');
  return name;
}
