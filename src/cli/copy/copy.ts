import type { Problem } from '../exit.ts';
import {
  type Attributes,
  attributesOf,
  type Entry,
  FileProblem,
  type FileType,
  type Names,
  type Piece,
  type Tree,
} from './tree.ts';

export interface CopyOptions {
  readonly signal: AbortSignal;
  /** What the target may have of set-user-ID bits and devices; false: they are left out, and told. */
  readonly isTrusted: boolean;
  /** Whose all of it becomes. Absent: whose it is. */
  readonly owner?: Attributes['owner'];
  /** Told of what could not be copied, while the rest goes on, and of what is worth knowing. */
  report(text: string): Promise<void>;
  /** Told of what is not wrong with any file, and who asked for quiet does not want. */
  note(text: string): Promise<void>;
  /** Told of all that moves. */
  progress(so: Progress): Promise<void>;
}

export interface Progress {
  files: number;
  bytes: number;
  /** What is being copied. */
  name: string;
  /** Of one file: how long it is; 0: it is not known, or there are more. */
  total: number;
}

export interface CopyResult extends Progress {
  /** How many could not be copied. */
  readonly failed: number;
}

/** Files of one directory are copied so many at once: each is a call, which waits longer than it works. */
const AT_ONCE = 6;
/** Directories within each other: more are no tree that somebody made in earnest. */
const MAX_DEPTH = 256;
const SPECIAL_BITS = 0o7000;
const STICKY = 0o1000;
/** Of what goes wrong alike many times a person wants to see some. */
const MAX_REPORTS = 20;

/** Copies one file or directory from one tree to another. One copy at a time each. */
export class Copy {
  readonly #from: Tree;
  readonly #to: Tree;
  readonly #options: CopyOptions;
  readonly #progress: Progress = { files: 0, bytes: 0, name: '', total: 0 };
  /** Where the first name of a file that has several lies in the target. */
  readonly #firsts = new Map<string, Promise<Names>>();
  #failed = 0;
  #reports = 0;
  #stripped = 0;
  /** Files whose extended attributes are not all in the copy. */
  #without = 0;
  #lack = '';

  constructor(from: Tree, to: Tree, options: CopyOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
  }

  /**
   * @param source - what is at the beginning of the one tree
   * @param into - where it goes to in the other; empty: a directory that is there, which is filled
   * @throws Problem where it makes no sense to go on
   */
  async run(source: Entry, into: Names): Promise<CopyResult> {
    if (source.type === 'file') this.#progress.total = Number(source.size);
    try {
      if (source.type === 'directory') await this.#directory([], into, source);
      else await this.#other([], into, source);
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      await this.#tell(error);
    }
    if (this.#reports > MAX_REPORTS)
      await this.#options.report(`${this.#reports - MAX_REPORTS} more could not be copied, or only in part`);
    if (this.#stripped > 0)
      await this.#options.report(
        `${this.#stripped} ${this.#stripped === 1 ? 'file comes' : 'files come'} without set-user-ID and set-group-ID bits, or capabilities; --trusted keeps them`,
      );
    if (this.#without > 0)
      await this.#options.report(
        `${this.#without} ${this.#without === 1 ? 'file comes' : 'files come'} without extended attributes that the other side does not take`,
      );
    if (this.#lack !== '') await this.#options.note(`Not all extended attributes are copied: ${this.#lack}`);
    return { ...this.#progress, failed: this.#failed };
  }

  async #directory(from: Names, into: Names, entry: Entry): Promise<void> {
    if (from.length > MAX_DEPTH) throw new FileProblem(`Cannot copy ${this.#from.shown(from)}: it lies too deep`);
    this.#options.signal.throwIfAborted();
    // One that was there keeps what it has: it is somebody's, and may be the root's own.
    const isMade = into.length > 0 && (await this.#to.makeDirectory(into));
    try {
      const entries = [...(await this.#from.list(from))].sort((a, b) => Buffer.compare(a.name, b.name));
      const files = entries.filter(({ type }) => type !== 'directory');
      await this.#each(files, (one) => this.#other([...from, one.name], [...into, one.name], one));
      for (const one of entries)
        if (one.type === 'directory')
          await this.#guarded(() => this.#directory([...from, one.name], [...into, one.name], one));
    } finally {
      // Last, since what is made in it changes its time; and what is in it may be for nobody else's eyes until then.
      if (isMade && !this.#options.signal.aborted)
        await this.#guarded(async () => this.#given(await this.#to.set(into, this.#attributes(entry))));
      await this.#from.leave(from);
      await this.#to.leave(into);
    }
  }

  /** Several at once. What ends the copy ends it when none of them is under way any more. */
  async #each(entries: readonly Entry[], work: (entry: Entry) => Promise<void>): Promise<void> {
    const queue = entries.values();
    let isOver = false;
    const worker = async (): Promise<void> => {
      for (const one of queue) {
        if (isOver) return;
        try {
          await this.#guarded(() => work(one));
        } catch (error) {
          isOver = true;
          throw error;
        }
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, entries.length) }, worker));
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      this.#options.signal.throwIfAborted();
      await work();
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      await this.#tell(error);
    }
  }

  async #tell(problem: Problem): Promise<void> {
    this.#failed++;
    if (this.#reports++ < MAX_REPORTS) await this.#options.report(problem.message);
  }

  async #other(from: Names, into: Names, entry: Entry): Promise<void> {
    const isShared = entry.links > 1n && entry.type !== 'socket' && entry.type !== 'other';
    const first = isShared ? this.#firsts.get(entry.id) : undefined;
    if (first) {
      const names = await first.catch(() => undefined);
      // What could not be copied the first time is tried anew.
      if (names) return this.#done(this.#to.makeLink(into, names));
    }
    const made = this.#make(from, into, entry).then(() => into);
    if (isShared) this.#firsts.set(entry.id, made);
    made.catch(() => undefined);
    await made;
  }

  async #make(from: Names, into: Names, entry: Entry): Promise<void> {
    const name = this.#from.shown(from);
    this.#progress.name = name;
    switch (entry.type) {
      case 'file':
        return this.#done(
          this.#to.write(into, this.#attributes(entry), this.#content(from, name)).then((lost) => this.#given(lost)),
        );
      case 'symlink':
        return this.#done(this.#to.makeSymlink(into, entry.target, this.#attributes(entry)));
      case 'fifo':
        return this.#done(this.#to.makeNode(into, entry, this.#attributes(entry)));
      case 'character':
      case 'block':
        if (!this.#options.isTrusted) throw new FileProblem(`${name} is a device, and left out: --trusted copies it`);
        return this.#done(this.#to.makeNode(into, entry, this.#attributes(entry)));
      default:
        // No copy of a socket would be of use; who copies a tree knows that it is left out, and wants the rest.
        await this.#options.report(`${name} is ${WORDS[entry.type] ?? 'of an unknown kind'}, and left out`);
    }
  }

  async *#content(from: Names, name: string): AsyncGenerator<Piece> {
    let copied = 0;
    let hasChanged = false;
    for await (const piece of this.#from.read(from, () => {
      hasChanged = true;
    })) {
      const bytes = piece instanceof Uint8Array ? piece.length : Number(piece.hole);
      copied += bytes;
      this.#progress.bytes += bytes;
      await this.#options.progress(this.#progress);
      yield piece;
    }
    if (hasChanged)
      await this.#options.report(
        `${name} was changed while it was copied: the copy has ${copied} bytes, perhaps of several moments`,
      );
  }

  async #done(made: Promise<void>): Promise<void> {
    await made;
    this.#progress.files++;
    await this.#options.progress(this.#progress);
  }

  /** @param lost - how many extended attributes it did not get */
  #given(lost: number): void {
    if (lost > 0) this.#without++;
  }

  #attributes(entry: Entry): Attributes {
    const given = attributesOf(entry);
    const { isTrusted, owner = given.owner } = this.#options;
    if (entry.extendedLack !== '') this.#lack = entry.extendedLack;
    // What a program may do makes a stranger's program as much as root.
    const extended = isTrusted ? given.extended : given.extended.filter(({ name }) => !isCapability(name));
    // A directory's sticky bit protects; a set-user-ID bit makes a stranger's program run as somebody.
    const kept = entry.type === 'directory' ? STICKY : 0;
    const hasBits = (given.mode & SPECIAL_BITS & ~STICKY) !== 0;
    const isStripped = !isTrusted && (hasBits || extended.length < given.extended.length);
    if (isStripped) this.#stripped++;
    return { ...given, owner, extended, mode: isTrusted ? given.mode : given.mode & (0o777 | kept) };
  }
}

const isCapability = (name: Uint8Array): boolean => Buffer.from(name).toString('latin1') === 'security.capability';

const WORDS: Readonly<Partial<Record<FileType, string>>> = { socket: 'a socket' };
