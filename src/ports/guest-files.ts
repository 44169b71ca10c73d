/** What a file is; `other` is something that this version has no word for. */
export type GuestFileType = 'file' | 'directory' | 'symlink' | 'fifo' | 'character' | 'block' | 'socket' | 'other';

/** A moment to the nanosecond, since 1970. */
export interface FileTime {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** What a guest says of a file of its own. Names are bytes: no byte but `/` and NUL is impossible in one. */
export interface GuestFile {
  readonly name: Uint8Array;
  readonly type: GuestFileType;
  /** The permissions with the set-user-ID, set-group-ID and sticky bits: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  readonly modified: FileTime;
  readonly links: bigint;
  /** Both together name the file itself, whatever its names are. */
  readonly device: bigint;
  readonly inode: bigint;
  /** What it takes on its disk, in bytes: less than its size where it has holes. */
  readonly allocated: bigint;
  /** Where a symbolic link leads to; else empty. */
  readonly target: Uint8Array;
  /** Of a device. */
  readonly major: number;
  readonly minor: number;
  /** Of a file or directory, where they were asked for. */
  readonly extended?: readonly ExtendedAttribute[];
  /** Some of them are not among those: they are too large, or the agent tells of none. */
  readonly isExtendedPart?: boolean;
}

/** An extended attribute that users give (`user.…`), or what a program may do (`security.capability`); others are no copy's business. */
export interface ExtendedAttribute {
  /** Bytes, as names of files are. */
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

/** Where a file is. */
export interface FilePlace {
  /** Absolute. Its links are gone through, but for the last. */
  readonly path: Uint8Array;
  /** Further names, with `/` between: none of them may be a link, or `..`. Absent or empty: it is the path itself. */
  readonly below?: Uint8Array;
  /** Goes through a link at the end of the path too. */
  readonly follow?: boolean;
}

/** What is set of a file; what is absent is left as it is. */
export interface FileAttributes {
  /** 0 to 0o7777. */
  readonly mode?: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly modified?: FileTime;
  /** Of a file that is written, or set; 64 KiB at most. One that the guest does not take is left out. */
  readonly extended?: readonly ExtendedAttribute[];
  /** Told how many of those were left out. */
  readonly onExtendedLost?: (count: number) => void;
}

/** What is asked of a file beside what it is. */
export interface FileLook extends FilePlace {
  readonly wantsExtended?: boolean;
}

/** A part of a file's content; of a hole nothing but its length. */
export type FileContent = Readonly<{ is: 'data'; data: Uint8Array } | { is: 'hole'; bytes: bigint }>;

/** What comes of a file that is read: itself first, how it went last. */
export type FileReading =
  | FileContent
  | Readonly<{ is: 'file'; file: GuestFile }>
  /** `changed`: somebody wrote to it meanwhile, so that it may be of several moments. */
  | Readonly<{ is: 'end'; changed: boolean }>;

/** What is written. */
export interface FileWriting extends FilePlace, FileAttributes {
  /**
   * Absent: the file is there under its name when it is whole, and not before. Else the content goes into the file that is
   * there, from this byte on, and ends it: so what was cut off is gone on with. Of 0 it need not be there.
   */
  readonly inPlaceFrom?: bigint;
}

/** What is changed at one place. */
export type FileChange = FilePlace &
  Readonly<
    /** Never through a link, and never into another file system. */
    | { is: 'remove'; recursive: boolean }
    /** `to`: absolute. */
    | { is: 'rename'; to: Uint8Array }
    /** `parents`: those in front of it are made too, and it may be there. */
    | ({ is: 'make directory'; parents: boolean } & FileAttributes)
    | ({ is: 'make symlink'; target: Uint8Array } & FileAttributes)
    /** `to`: absolute, or below the same path. */
    | { is: 'make link'; to: Uint8Array }
    | ({ is: 'make fifo' } & FileAttributes)
    | ({ is: 'make device'; type: 'character' | 'block'; major: number; minor: number } & FileAttributes)
    | ({ is: 'set' } & FileAttributes)
  >;

/**
 * The files of a guest, as root of it sees them.
 *
 * All throw Fault `not_found`, `exists`, `full` or `refused` for what the guest's kernel said, without the path, which is nobody's but
 * the caller's; `tool` when the agent or the guest goes away, or says what no agent does; the signal's reason.
 */
export interface GuestFiles {
  stat(place: FileLook, signal: AbortSignal): Promise<GuestFile>;
  /** Of a directory, in no order, some at once. */
  list(place: FileLook, signal: AbortSignal): AsyncIterable<readonly GuestFile[]>;
  /** @param range - `length` 0: to the end */
  read(
    place: FilePlace,
    range: { readonly offset: bigint; readonly length: bigint },
    signal: AbortSignal,
  ): AsyncIterable<FileReading>;
  /**
   * Ends with `content`: when that throws, nothing is under the name that was not there before.
   * @returns how many bytes came, holes not counted
   */
  write(writing: FileWriting, content: AsyncIterable<FileContent>, signal: AbortSignal): Promise<bigint>;
  change(change: FileChange, signal: AbortSignal): Promise<void>;
}
