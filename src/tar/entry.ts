/** Names and texts of archives are bytes, one a character (latin1): no byte is lost, whatever it was meant to be. */
export type Bytes = string;

export type EntryType = 'file' | 'hard link' | 'symlink' | 'character device' | 'block device' | 'directory' | 'fifo';

/** Where the data of a file with holes lies. */
export interface Sparse {
  /** Bytes of the whole file. */
  readonly size: number;
  /** In order, none meeting another: offset and length. Their lengths are the bytes that the archive has. */
  readonly parts: readonly (readonly [offset: number, length: number])[];
}

/** One entry of a tar archive, all headers that belong to it applied. */
export interface TarEntry {
  readonly type: EntryType;
  readonly name: Bytes;
  /** Target of a link. */
  readonly link: Bytes;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Time;
  /** Bytes of data in the archive. */
  readonly size: number;
  readonly sparse?: Sparse;
  readonly device: readonly [major: number, minor: number];
  /** By full name; the value as bytes. */
  readonly xattrs: ReadonlyMap<Bytes, Bytes>;
}

/** Since 1970; never before. */
export interface Time {
  readonly seconds: number;
  /** Nanoseconds, nine digits; empty: none. */
  readonly fraction: string;
}
