import { constants, fchmodSync, fchownSync, futimesSync } from 'node:fs';
import {
  type FileHandle,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readlink,
  realpath,
  rename,
  stat,
  symlink,
  unlink,
} from 'node:fs/promises';
import { errorMessage } from '../../base/error-text.ts';
import { run } from '../../host/run.ts';
import { HostExtended, type Known } from './host-extended.ts';
import { contentOf, entryOf, written } from './host-file.ts';
import { codeOf, IN_THE_WAY, problemOf } from './host-words.ts';
import {
  type Attributes,
  type Entry,
  FileProblem,
  joinNames,
  type Names,
  type Piece,
  shownPath,
  type Tree,
} from './tree.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const MKNOD_MS = 30_000;

export interface HostOptions {
  readonly signal: AbortSignal;
  /** Owners are set: none but root may. */
  readonly isRoot: boolean;
}

/**
 * Files of this machine. Each directory is opened from the one above it, never through a link, and what is in it is reached by
 * what was opened: so nothing that changes meanwhile leads elsewhere.
 */
export class HostTree implements Tree {
  readonly #root: string;
  readonly #options: HostOptions;
  readonly #open = new Map<string, Promise<FileHandle>>();
  readonly #extended: HostExtended;

  /** @param root - a directory; for a tree that is only looked at also a file */
  constructor(root: string, options: HostOptions) {
    this.#root = root;
    this.#options = options;
    this.#extended = new HostExtended(options.signal);
  }

  shown(names: Names): string {
    return shownPath(this.#root, names);
  }

  async look(names: Names, isSource = false): Promise<Entry | undefined> {
    const at = await this.#at(names);
    try {
      // Of the beginning its links are gone through.
      const path = names.length === 0 && isSource ? await realpath(at, { encoding: 'buffer' }) : at;
      const [known] = isSource ? await this.#extended.of([path]) : [];
      return await this.#entry(names, at, known);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw this.#told('look at', names, error);
    }
  }

  async list(names: Names): Promise<readonly Entry[]> {
    const handle = await this.#directory(names);
    try {
      const found = await readdir(pathOf(handle), { encoding: 'buffer' });
      const entries: Entry[] = [];
      for (const name of found) {
        this.#options.signal.throwIfAborted();
        const entry = await this.look([...names, name]);
        if (entry) entries.push(entry); // else it has gone meanwhile
      }
      const having = entries.filter(({ type }) => type === 'file' || type === 'directory');
      const inIt = Buffer.from(`${pathOf(handle)}/`);
      const known = await this.#extended.of(having.map(({ name }) => Buffer.concat([inIt, name])));
      const byEntry = new Map(having.map((entry, i) => [entry, known[i]]));
      return entries.map((entry) => {
        const { extended = [], lack = '' } = byEntry.get(entry) ?? {};
        return { ...entry, extended, extendedLack: lack };
      });
    } catch (error) {
      throw this.#told('list', names, error);
    }
  }

  async *read(names: Names, onChanged: () => void): AsyncGenerator<Piece> {
    let handle: FileHandle;
    try {
      handle = await open(await this.#at(names), O_RDONLY | O_NONBLOCK | (names.length > 0 ? O_NOFOLLOW : 0));
    } catch (error) {
      throw this.#told('read', names, error);
    }
    try {
      yield* contentOf(handle, this.#options.signal, onChanged);
    } catch (error) {
      throw this.#told('read', names, error);
    } finally {
      await handle.close();
    }
  }

  async write(names: Names, attributes: Attributes | undefined, content: AsyncIterable<Piece>): Promise<number> {
    let lost = 0;
    const there = await this.look(names);
    if (there && there.type !== 'file' && there.type !== 'symlink')
      throw new FileProblem(`Cannot write ${this.shown(names)}: ${IN_THE_WAY[there.type]}`);
    await this.#made(names, async (temp) => {
      const handle = await open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        await this.#fill(handle, content);
        if (attributes) lost = await this.#setBy(handle, attributes);
      } finally {
        await handle.close();
      }
    });
    return lost;
  }

  async makeDirectory(names: Names): Promise<boolean> {
    try {
      await mkdir(await this.#at(names), { mode: 0o700 });
      return true;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw this.#told('make', names, error);
      const there = await this.look(names);
      // A link to a directory is not gone through: it may lead anywhere.
      if (there?.type !== 'directory')
        throw new FileProblem(`Cannot make ${this.shown(names)}: there is a file of that name`);
      return false;
    }
  }

  makeSymlink(names: Names, target: Uint8Array, attributes: Attributes): Promise<void> {
    return this.#made(names, async (temp) => {
      await symlink(Buffer.from(target), temp);
      const { uid, gid } = attributes.owner;
      if (this.#options.isRoot) await lchown(temp, uid, gid);
      await lutimes(temp, secondsOf(attributes), secondsOf(attributes));
    });
  }

  makeLink(names: Names, first: Names): Promise<void> {
    return this.#made(names, async (temp) => link(await this.#at(first), temp), 'perhaps the same');
  }

  makeNode(
    names: Names,
    { type, major, minor }: Pick<Entry, 'type' | 'major' | 'minor'>,
    attributes: Attributes,
  ): Promise<void> {
    return this.#made(names, async (temp) => {
      const kind = type === 'fifo' ? ['p'] : [type === 'block' ? 'b' : 'c', String(major), String(minor)];
      // The name is of our own letters; `self` would be the tool.
      const path = temp.toString().replace('/proc/self/', `/proc/${process.pid}/`);
      const mode = (attributes.mode & 0o777).toString(8);
      try {
        await run(['mknod', '-m', mode, path, ...kind], { signal: this.#options.signal, timeoutMs: MKNOD_MS });
      } catch (cause) {
        if (this.#options.signal.aborted) throw cause;
        throw new FileProblem(`Cannot make ${this.shown(names)}: ${errorMessage(cause)}`, cause);
      }
      const { uid, gid } = attributes.owner;
      if (this.#options.isRoot) await lchown(temp, uid, gid);
      await lutimes(temp, secondsOf(attributes), secondsOf(attributes));
    });
  }

  async set(names: Names, attributes: Attributes): Promise<number> {
    try {
      return await this.#setBy(await this.#directory(names), attributes);
    } catch (error) {
      throw this.#told('set what it has of', names, error);
    }
  }

  async leave(names: Names): Promise<void> {
    const key = keyOf(names);
    const handle = this.#open.get(key);
    this.#open.delete(key);
    await (await handle?.catch(() => undefined))?.close();
  }

  /** Lets go of all that is open. */
  async close(): Promise<void> {
    const handles = await Promise.allSettled(this.#open.values());
    this.#open.clear();
    for (const one of handles) if (one.status === 'fulfilled') await one.value.close();
  }

  /** Makes it under another name, then gives it its own: what has that now is replaced, and not gone through. */
  async #made(
    names: Names,
    make: (temp: Buffer) => Promise<void>,
    what: 'new' | 'perhaps the same' = 'new',
  ): Promise<void> {
    const parent = pathOf(await this.#directory(names.slice(0, -1)));
    const temp = Buffer.from(
      `${parent}/.flintlock-${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`,
    );
    try {
      await make(temp);
      await rename(temp, await this.#at(names));
      if (what !== 'new') await unlink(temp).catch(() => undefined); // both were names of one file already
    } catch (error) {
      await unlink(temp).catch(() => undefined);
      throw this.#told('write', names, error);
    }
  }

  async #fill(handle: FileHandle, content: AsyncIterable<Piece>): Promise<void> {
    let at = 0;
    let endsWithHole = false;
    for await (const piece of content) {
      this.#options.signal.throwIfAborted();
      endsWithHole = !(piece instanceof Uint8Array);
      if (!(piece instanceof Uint8Array)) {
        at += Number(piece.hole);
        continue;
      }
      for (let done = 0; done < piece.length; ) {
        const bytesWritten = await written(handle, piece.subarray(done), at);
        done += bytesWritten;
        at += bytesWritten;
      }
    }
    if (endsWithHole) await handle.truncate(at);
  }

  /**
   * The owner first: a change of it takes the set-user-ID bit and capabilities away. Here and now: of a file that is open that takes microseconds, by the pool of
   * threads ten times as long.
   */
  async #setBy(handle: FileHandle, attributes: Attributes): Promise<number> {
    const { mode, owner, extended } = attributes;
    if (this.#options.isRoot) fchownSync(handle.fd, owner.uid, owner.gid);
    const lost = await this.#extended.give(handle, extended);
    fchmodSync(handle.fd, mode);
    futimesSync(handle.fd, secondsOf(attributes), secondsOf(attributes));
    return lost;
  }

  async #entry(names: Names, at: string | Buffer, known?: Known): Promise<Entry> {
    const name = names.at(-1) ?? Buffer.from(this.#root);
    if (names.length > 0) {
      const stats = await lstat(at, { bigint: true });
      const target = stats.isSymbolicLink() ? await readlink(at, { encoding: 'buffer' }) : new Uint8Array();
      return entryOf(name, stats, { target, ...(known && { known }) });
    }
    return entryOf(name, await stat(at, { bigint: true }), known && { known });
  }

  /** Where a file is, by the directory that is open for it. */
  async #at(names: Names): Promise<string | Buffer> {
    const name = names.at(-1);
    if (name === undefined) return this.#root;
    return Buffer.concat([Buffer.from(`${pathOf(await this.#directory(names.slice(0, -1)))}/`), name]);
  }

  #directory(names: Names): Promise<FileHandle> {
    const key = keyOf(names);
    let handle = this.#open.get(key);
    if (!handle) {
      handle = this.#opened(names);
      handle.catch(() => this.#open.delete(key));
      this.#open.set(key, handle);
    }
    return handle;
  }

  async #opened(names: Names): Promise<FileHandle> {
    try {
      return await open(await this.#at(names), O_RDONLY | O_DIRECTORY | (names.length > 0 ? O_NOFOLLOW : 0));
    } catch (error) {
      throw this.#told('open', names, error);
    }
  }

  /** What the user is told. What concerns more than this file ends the copy. */
  #told(what: string, names: Names, error: unknown): unknown {
    return this.#options.signal.aborted ? error : problemOf(`Cannot ${what} ${this.shown(names)}`, error);
  }
}

const keyOf = (names: Names): string => joinNames(names).toString('latin1');
const pathOf = ({ fd }: FileHandle): string => `/proc/self/fd/${fd}`;
const secondsOf = ({ modified }: Attributes): number => Number(modified.seconds) + modified.nanos / 1e9;
