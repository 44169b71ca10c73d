import { EXIT, Problem } from '../exit.ts';
import { printable } from '../print/style.ts';

/** The names that lead to a file from where its tree begins; none: the beginning itself. */
export type Names = readonly Uint8Array[];

export type FileType = 'file' | 'directory' | 'symlink' | 'fifo' | 'character' | 'block' | 'socket' | 'other';

/** A moment, to the nanosecond. */
export interface FileTime {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** An extended attribute: of users (`user.…`), or what a program may do (`security.capability`). */
export interface Extended {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** What a file is, on whichever side. */
export interface Entry {
  readonly name: Uint8Array;
  readonly type: FileType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  /** On its disk, in bytes: less than its size where it has holes. */
  readonly allocated: bigint;
  readonly modified: FileTime;
  readonly links: bigint;
  /** The same for all names of one file, and for no other file of its side. */
  readonly id: string;
  readonly target: Uint8Array;
  readonly major: number;
  readonly minor: number;
  /** Of a file or directory that is listed, or looked at for a copy of it. */
  readonly extended: readonly Extended[];
  /** Why some of those may be missing; empty: they are all. */
  readonly extendedLack: string;
}

export interface Attributes {
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly modified: FileTime;
  readonly extended: readonly Extended[];
}

/** A part of a content: bytes, or so many zeros that take no room. */
export type Piece = Uint8Array | { readonly hole: bigint };

/** A side of a copy: this machine or a guest, from one path on. Nothing below that is reached through a link. */
export interface Tree {
  /** For a person. */
  shown(names: Names): string;
  /**
   * Of the beginning itself its links are gone through. Undefined: there is none.
   * @param isSource - its extended attributes are told, too
   */
  look(names: Names, isSource?: boolean): Promise<Entry | undefined>;
  /** In no order. */
  list(names: Names): Promise<readonly Entry[]>;
  /** @param onChanged - called when somebody wrote to it meanwhile */
  read(names: Names, onChanged: () => void): AsyncIterable<Piece>;
  /**
   * It is there under its name when it is whole.
   * @param attributes - absent: those of the file that it replaces
   * @returns how many extended attributes could not be kept
   */
  write(names: Names, attributes: Attributes | undefined, content: AsyncIterable<Piece>): Promise<number>;
  /**
   * It may be there; one that is made is open to us alone until it is `set`.
   * @returns whether it was made
   */
  makeDirectory(names: Names): Promise<boolean>;
  makeSymlink(names: Names, target: Uint8Array, attributes: Attributes): Promise<void>;
  /** @param first - another name of the same file, below the same beginning */
  makeLink(names: Names, first: Names): Promise<void>;
  makeNode(names: Names, node: Pick<Entry, 'type' | 'major' | 'minor'>, attributes: Attributes): Promise<void>;
  /** @returns as `write` */
  set(names: Names, attributes: Attributes): Promise<number>;
  /** Nobody comes back to that directory. */
  leave(names: Names): Promise<void>;
}

/** What went wrong with one file; the others can be copied all the same. */
export class FileProblem extends Problem {
  constructor(message: string, cause?: unknown) {
    super(EXIT.failed, message, { cause });
    this.name = 'FileProblem';
  }
}

const SLASH = Buffer.from('/');

/** The names with `/` between. */
export const joinNames = (names: Names): Buffer =>
  Buffer.concat(names.flatMap((name, i) => (i === 0 ? [name] : [SLASH, name])));

/** A path and what is below it, for a person: what is no text in it is made visible. */
export function shownPath(path: string | Uint8Array, names: Names = []): string {
  const first = Buffer.from(path).toString();
  const rest = joinNames(names).toString();
  return printable(rest === '' ? first : `${first.replace(/\/+$/, '')}/${rest}`);
}

const MAX_NAME = 255;

/** Whether a directory can have a file of that name. A guest may say anything. */
export function isName(name: Uint8Array): boolean {
  const isDots = name.length <= 2 && name.every((byte) => byte === 0x2e);
  return name.length > 0 && name.length <= MAX_NAME && !isDots && !name.includes(0x2f) && !name.includes(0);
}

export const attributesOf = ({ mode, uid, gid, modified, extended }: Entry): Attributes => ({
  mode,
  owner: { uid, gid },
  modified,
  extended,
});
