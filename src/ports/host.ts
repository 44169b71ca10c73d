import type { ChannelInput } from './channel.ts';

/**
 * The only hands on the machine. Rooms below the daemon reach files and
 * processes through these ports alone.
 */
export interface RunLimits {
  /** Ends the tool with SIGKILL; the call rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Milliseconds from start to exit. */
  readonly timeoutMs: number;
  /** Given to the tool's standard input. */
  readonly input?: string;
  /** Added to the environment, which else has PATH, LANG and what keeps the host's configuration from tools. */
  readonly env?: Readonly<Record<string, string>>;
  /** umask(2) of the tool, octal; else the daemon's own, which keeps everything to root. */
  readonly umask?: '022';
}

/**
 * Runs one host tool to its end, without a shell, in a process group of its
 * own that is ended with it, and returns its standard output.
 *
 * @param argv - program, then arguments, each passed on whole
 * @throws Fault `timeout`; Fault `tool` with the end of standard error in
 * `message`; Fault `full` where it says that there is no space, and a disk that its arguments name has none; the
 * signal's reason
 * @see execve(2)
 */
export type Run = (argv: readonly [string, ...string[]], limits: RunLimits) => Promise<string>;

/** A tool that goes on until it is told to end. */
export interface Followed {
  /** Undefined where it could not be started. */
  readonly pid: number | undefined;
  /** How it ended, as a sentence, with the end of its standard error. Never rejects. */
  readonly ended: Promise<string>;
}

/**
 * Starts a host tool that tells of something as it happens, and hands on each
 * line of its standard output. It ends with the signal, and with the daemon
 * however that ends. Never throws: what cannot be started has ended.
 *
 * @param argv - program, then arguments, each passed on whole
 */
export type Follow = (
  argv: readonly [string, ...string[]],
  options: { readonly signal: AbortSignal; onLine(line: string): void },
) => Followed;

/** A tool that stays and does what is said to it. */
export interface Conversation {
  /** Undefined where it could not be started. */
  readonly pid: number | undefined;
  /** To its standard input. To one that has ended it is said in vain. */
  say(text: string): void;
  /** Ends it, by SIGKILL, with all that it started. */
  end(): void;
  /** Resolves once it has ended and all that it said was heard; both are null where it could not be started. Never rejects. */
  readonly ended: Promise<Pick<ProcessExit, 'code' | 'signal'>>;
}

/**
 * Starts a host tool that stays. What it says, on standard output and standard error, comes in the order in which it
 * was written. It ends with the signal, and with the daemon however that ends. Never throws: what cannot be started
 * has ended.
 *
 * @param argv - program, then arguments, each passed on whole
 */
export type Converse = (
  argv: readonly [string, ...string[]],
  options: { readonly signal: AbortSignal; onText(text: string): void },
) => Conversation;

/**
 * Names one process beyond doubt: a pid is reused, a pid with the start time
 * in the same boot is not. `startTime` is field 22 of /proc/PID/stat, in clock
 * ticks since boot.
 * @see proc(5)
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
  readonly bootId: string;
}

export interface ProcessInfo extends ProcessIdentity {
  readonly argv: readonly string[];
  /** The program's file as /proc/PID/exe names it; empty where it cannot be read. */
  readonly exe: string;
  /** True once it has exited and waits for its parent. */
  readonly zombie: boolean;
}

export interface ProcessExit {
  /** Null when it ended by a signal, or was not our child. */
  readonly code: number | null;
  /** E.g. `SIGKILL`; null when it exited, or was not our child. */
  readonly signal: string | null;
  /** Whether we were its parent and so know how it ended. */
  readonly seen: boolean;
}

export interface StartedProcess {
  readonly identity: ProcessIdentity;
  /** Resolves once it has ended. */
  readonly exited: Promise<ProcessExit>;
}

/** How often the kernel has killed for want of memory where a process lives. */
export interface OomCounter {
  /** The process's memory cgroup; empty: the whole host is counted. */
  readonly cgroup: string;
  readonly kills: number;
  /** The count now, also when the process is gone. */
  again(): Promise<number>;
  /**
   * The cgroup, that one or the nearest above it, that has met its limit since this was made; undefined: none, it was the
   * host's memory that ran out.
   */
  full(): Promise<{ readonly cgroup: string; readonly limitBytes: number } | undefined>;
}

/** A file that a program finds open. */
export interface OpenFile {
  readonly path: string;
  /** Absent: it is opened to read and write. */
  readonly readOnly?: true;
}

export interface StartOptions {
  /** Standard output and error are appended to it. */
  readonly log: string;
  /** A file that standard output is appended to instead. */
  readonly output?: string;
  /**
   * A FIFO that is its standard input, and that it has open for writing too: so it never ends, whoever typed into it and
   * went. Absent: there is none to read.
   */
  readonly input?: string;
  /** Absent: ours. It may be one that only we may enter. */
  readonly directory?: string;
  /** Found open as descriptors 3, 4, …. */
  readonly open?: readonly OpenFile[];
  /** Directories of cgroups that it is moved into, before it can have done much. */
  readonly cgroups?: readonly string[];
}

export interface Processes {
  /**
   * Starts a program that outlives us: own session.
   * @throws Fault `tool`; it is ended when it cannot be moved
   */
  start(argv: readonly [string, ...string[]], options: StartOptions): Promise<StartedProcess>;
  /** Moves a process with its threads into cgroups: in there already is success. @throws Fault `tool` */
  moveInto(pid: number, cgroups: readonly string[]): Promise<void>;
  /** The process as it is now, if it is still the same one (boot, pid, start time) and no zombie. */
  inspect(identity: ProcessIdentity): Promise<ProcessInfo | undefined>;
  /** Every process whose argv makes `match` true. */
  find(match: (argv: readonly string[]) => boolean): Promise<readonly ProcessInfo[]>;
  /**
   * Sends a signal to a process proved ours: its identity holds and `isOurs` is true of its command line.
   * @returns false when it is not there any more
   * @throws Fault `refused` when the pid is somebody else's
   */
  signal(
    identity: ProcessIdentity,
    isOurs: (argv: readonly string[]) => boolean,
    signal: 'SIGTERM' | 'SIGKILL' | 'SIGHUP',
  ): Promise<boolean>;
  /** Resolves once the process is gone; a zombie is gone. */
  ended(identity: ProcessIdentity, signal: AbortSignal): Promise<void>;
  bootId(): Promise<string>;
  /** Undefined where the kernel does not count. */
  oomCounter(pid: number): Promise<OomCounter | undefined>;
}

export interface FileInfo {
  /** Of a character device, `major:minor`. */
  readonly device?: string;
  readonly kind: 'file' | 'directory' | 'symlink' | 'socket' | 'other';
  readonly sizeBytes: number;
  /** Bytes that it takes on the disk: less than its size where it is sparse. */
  readonly diskBytes: number;
  readonly mode: number;
  /** The user and the group that it belongs to, where they are told. */
  readonly owner?: { readonly user: number; readonly group: number };
  /** Another one as soon as the file is another or was written to: device, inode, size and time of the last change. */
  readonly stamp?: string;
  /** When its content was changed last, in milliseconds since 1970. */
  readonly modifiedAt?: number;
}

/** Bytes and where they stand in a file. */
export interface FilePiece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** A socket, whatever becomes of its name. */
export interface PinnedSocket {
  /** Leads to it until it is let go. */
  readonly path: string;
  release(): Promise<void>;
}

/** Files and directories. Paths are absolute. Faults: `full` for
 * EDQUOT, and for ENOSPC where the disk has no room; else `tool`. */
export interface Files {
  /** With its parents; there already is success. `mode` is set on the last one. */
  makeDirectory(path: string, mode: number): Promise<void>;
  /** With everything below; not there is success. */
  remove(path: string): Promise<void>;
  /** Whole or not at all: a temporary file beside it, then a rename. `durable` syncs file and directory. */
  write(
    path: string,
    data: string | Uint8Array | AsyncIterable<Uint8Array>,
    options?: { readonly mode?: number; readonly durable?: boolean },
  ): Promise<void>;
  /**
   * A new file of so many bytes in which these pieces stand, and nothing else takes room; what it holds is on the disk
   * then. Where something is there already it fails; what a failure or a crash leaves is the caller's to remove.
   */
  writeSparse(path: string, sizeBytes: number, pieces: readonly FilePiece[]): Promise<void>;
  /** At most `maxBytes`, from `offset`; undefined when there is no such file. */
  read(
    path: string,
    options?: { readonly offset?: number; readonly maxBytes?: number },
  ): Promise<Uint8Array | undefined>;
  /** Into a file that is there, in one write: a setting of the kernel's. */
  overwrite(path: string, data: string): Promise<void>;
  /** Gives a file or directory to a user and the group of the same number; a symlink is not followed. */
  own(path: string, user: number): Promise<void>;
  /** @param mode - permissions, as in chmod(2) */
  setMode(path: string, mode: number): Promise<void>;
  /** Not there is success. @returns false when something is in it, or it is in use */
  removeDirectory(path: string): Promise<boolean>;
  rename(from: string, to: string): Promise<void>;
  /** Names in a directory, sorted; empty when it is not there. */
  list(path: string): Promise<readonly string[]>;
  /** Does not follow a symlink; undefined when there is nothing. */
  stat(path: string): Promise<FileInfo | undefined>;
  /** Whether a device is there and can be opened to read and write, which loads its driver where the kernel knows which. */
  opens(path: string): Promise<boolean>;
  readLink(path: string): Promise<string>;
  /** Symlinks resolved; undefined when there is nothing. */
  realPath(path: string): Promise<string | undefined>;
  /**
   * The first of these that is a file, symlinks followed; what may not be looked at is passed over. For programs: it asks the
   * system at once, without a thread of its own for each.
   */
  firstFile(
    paths: readonly string[],
  ): Promise<{ readonly path: string; readonly real: string; readonly stamp: string } | undefined>;
  freeBytes(path: string): Promise<number>;
  /** Files and directories that can still be made there; infinite where there is no such limit. */
  freeInodes(path: string): Promise<number>;
  /**
   * Copies a file as cheaply as `how` says: a reflink, or only the parts that hold data.
   * @throws Fault `refused` when the file system has no reflinks
   */
  copy(from: string, to: string, how: 'reflink' | 'sparse', signal: AbortSignal): Promise<void>;
  /**
   * Calls back when anything in the directory, or the file itself, may have changed: where the host has no watch left,
   * again and again. Never throws. @returns how to stop
   */
  watch(path: string, changed: () => void): () => void;
  /**
   * Opens a FIFO to write into it.
   * @throws Fault `refused` where nobody reads it, or it is none
   */
  typeInto(path: string): ChannelInput;
  /**
   * Takes what is in a FIFO by now, at most `maxBytes`, and waits for nothing: empty where nothing is.
   * @throws Fault `refused` where there is none
   */
  takeFrom(path: string, maxBytes: number): Uint8Array;
  /**
   * Finds a unix socket that a user has made, to be connected to: where he may put another thing in its place, that is not
   * taken for it, and a link leads nowhere.
   *
   * @returns undefined when there is no socket of his
   */
  pinSocket(path: string, owner: number): Promise<PinnedSocket | undefined>;
  /** Frees the disk blocks of a file's beginning; its length and its later bytes stay. */
  punch(path: string, bytes: number): Promise<void>;
}
