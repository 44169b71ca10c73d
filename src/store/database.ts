import { DatabaseSync } from 'node:sqlite';
import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import { noRoom } from '../domain/room-words.ts';
import type { Transactions } from '../ports/store.ts';
import { first } from './schema/0001-first.ts';
import { promises } from './schema/0002-promises.ts';
import { answers } from './schema/0003-answers.ts';
import { labelsBefore } from './schema/0004-labels-before.ts';
import { ledgerVersions } from './schema/0005-ledger-versions.ts';
import { metadata } from './schema/0006-metadata.ts';

/** In order, never changed once released: a new file in `schema/` and a line here. */
const MIGRATIONS: readonly string[] = [first, promises, answers, labelsBefore, ledgerVersions, metadata];

/** SQLite's primary result codes: https://www.sqlite.org/rescode.html */
const SQLITE_BUSY = 5;
const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;

/** What a full disk is called: by its blocks, its inodes, or what could not be mapped of it. */
const PERHAPS_FULL: readonly (number | undefined)[] = [SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN];

/** What is left on the disk of a path, in words; undefined: that is not known. */
export type RoomText = (path: string) => string | undefined;

/**
 * What is stored together keeps the event loop waiting for the disk for at most a third of its time: after each commit it
 * rests twice as long as that took, but no longer than this.
 */
const RESTS = 2;
const MOST_REST_MS = 10;
/** Of a timer. */
const SHORTEST_MS = 1;

/** To be stored with others. */
interface Queued {
  /** @returns what tells that it is stored */
  run(): () => void;
  fail(error: unknown): void;
}

/**
 * The one database. Every transaction is on the disk when it returns
 * (WAL, synchronous=FULL); a transaction within one is part of it.
 */
export class Database implements Transactions {
  readonly sql: DatabaseSync;
  readonly #roomText: RoomText;
  readonly #path: string;
  readonly #mostRestMs: number;
  #depth = 0;
  #commits = 0;
  #afterCommit: (() => void)[] = [];
  #queue: Queued[] = [];
  /** By `performance.now()`. */
  #restUntil = 0;

  /**
   * @param roomText - asked when SQLite has found no room, or may have
   * @param mostRestMs - after a commit; default: none where there is no disk to wait for
   * @throws Fault `refused` when the file is of a newer version or no database; `full`; `tool` when it cannot be opened
   */
  constructor(
    path: string,
    roomText: RoomText = () => undefined,
    mostRestMs: number = path === ':memory:' ? 0 : MOST_REST_MS,
  ) {
    this.#path = path;
    this.#mostRestMs = mostRestMs;
    this.#roomText = roomText;
    try {
      this.sql = new DatabaseSync(path);
      this.sql.exec(
        'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=2000',
      );
      this.#migrate(path);
    } catch (error) {
      throw this.#fault(error, `open the database ${path}`);
    }
  }

  /** Transactions that are on the disk, of this one's life. */
  get commits(): number {
    return this.#commits;
  }

  /** Runs `work` in one transaction: all of it is stored, or nothing. */
  transact<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    this.#depth++;
    try {
      this.sql.exec('BEGIN IMMEDIATE');
      const result = work();
      this.sql.exec('COMMIT');
      this.#commits++;
      return result;
    } catch (error) {
      if (this.sql.isTransaction) this.sql.exec('ROLLBACK');
      this.#afterCommit = [];
      throw error instanceof Fault ? error : this.#fault(error, 'write the database');
    } finally {
      this.#depth--;
      const calls = this.#afterCommit;
      this.#afterCommit = [];
      for (const call of calls) call();
    }
  }

  together<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (this.#queue.length === 0) this.#storeSoon();
    this.#queue.push({
      run: () => {
        const result = work();
        return () => resolve(result);
      },
      fail: reject,
    });
    return promise;
  }

  /** Calls back once the transaction under way is on the disk; not at all when it is rolled back. */
  afterCommit(call: () => void): void {
    if (!this.#afterCommit.includes(call)) this.#afterCommit.push(call);
  }

  close(): void {
    this.#storeQueue();
    this.sql.close();
  }

  #storeSoon(): void {
    const restMs = this.#restUntil - performance.now();
    if (restMs >= SHORTEST_MS) setTimeout(() => this.#storeQueue(), restMs);
    else setImmediate(() => this.#storeQueue());
  }

  /** Who comes while many do shares a commit with them; one that comes alone has come long after the last. */
  #storeQueue(): void {
    const queue = this.#queue;
    this.#queue = [];
    if (queue.length === 0) return;
    const began = performance.now();
    this.#store(queue);
    const ended = performance.now();
    this.#restUntil = ended + Math.min(this.#mostRestMs, RESTS * (ended - began));
  }

  #store(queue: readonly Queued[]): void {
    let tells: readonly (() => void)[];
    try {
      tells = this.transact(() => queue.map((one) => (queue.length === 1 ? one.run() : this.#alone(one))));
    } catch (error) {
      for (const { fail } of queue) fail(error);
      return;
    }
    for (const tell of tells) tell();
  }

  /** What one of several throws undoes that one. */
  #alone({ run, fail }: Queued): () => void {
    const calls = this.#afterCommit;
    this.#afterCommit = [...calls];
    this.sql.exec('SAVEPOINT one');
    try {
      const tell = run();
      this.sql.exec('RELEASE one');
      return tell;
    } catch (cause) {
      const error = cause instanceof Fault ? cause : this.#fault(cause, 'write the database');
      if (!this.sql.isTransaction) throw error; // SQLite gave all of it up
      this.sql.exec('ROLLBACK TO one; RELEASE one');
      this.#afterCommit = calls;
      return () => fail(error);
    }
  }

  #fault(error: unknown, what: string): unknown {
    return asFault(error, what, PERHAPS_FULL.includes(codeOf(error)) ? this.#roomText(this.#path) : undefined);
  }

  #migrate(path: string): void {
    this.sql.exec('BEGIN IMMEDIATE');
    try {
      const version = Number(this.sql.prepare('PRAGMA user_version').get()?.user_version);
      if (version > MIGRATIONS.length)
        throw new Fault(
          'refused',
          `Cannot open the database ${path}: it is of version ${version} and this flintlockd knows ${MIGRATIONS.length}; start the newer flintlockd that wrote it`,
        );
      for (const script of MIGRATIONS.slice(version)) this.sql.exec(script);
      this.sql.exec(`PRAGMA user_version=${MIGRATIONS.length}`);
      this.sql.exec('COMMIT');
    } catch (error) {
      if (this.sql.isTransaction) this.sql.exec('ROLLBACK');
      this.sql.close();
      throw error;
    }
  }
}

/**
 * Holds a state directory for this process alone, until it ends however it ends.
 * @param roomText - as for a database
 * @throws Fault `refused` when another process holds it
 */
export function holdLock(path: string, roomText: RoomText = () => undefined): { release(): void } {
  try {
    const lock = new DatabaseSync(path);
    // An exclusive transaction that is never written: the kernel's file lock goes with the process.
    lock.exec('PRAGMA busy_timeout=0; PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE');
    return { release: () => lock.close() };
  } catch (error) {
    if (codeOf(error) === SQLITE_BUSY)
      throw new Fault(
        'refused',
        `Cannot use the state directory: another flintlockd holds ${path}; stop it, or give this one its own --state-dir`,
        { cause: error },
      );
    throw asFault(error, `lock ${path}`, PERHAPS_FULL.includes(codeOf(error)) ? roomText(path) : undefined);
  }
}

const codeOf = (error: unknown): number | undefined =>
  error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;

function asFault(error: unknown, what: string, room = ''): unknown {
  if (error instanceof Fault) return error;
  const code = codeOf(error);
  if (code === undefined) return error; // a bug of ours
  const options = { cause: error };
  if (code === SQLITE_FULL)
    return new Fault('full', `Cannot ${what}: ${noRoom(room)}`, { ...options, reason: 'StorageFull' });
  if (code === SQLITE_NOTADB)
    return new Fault('refused', `Cannot ${what}: it is no SQLite database; restore it from a backup`, options);
  return new Fault('tool', `Cannot ${what}: ${errorMessage(error)}${room === '' ? '' : ` (${room})`}`, options);
}
