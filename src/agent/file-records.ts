import { Fault, type FaultKind } from '../domain/fault.ts';
import type { FileAttributes, FilePlace, FileTime, GuestFile, GuestFileType } from '../ports/guest-files.ts';
import { AGENT_FRAME, frameHead } from './agent-frames.ts';

/** The records of the file server: guest/agent/files.h. One byte type, four bytes length, the payload. */
export const RECORD = { do: 40, data: 41, hole: 42, end: 43, entry: 44, done: 45, failed: 46, extended: 47 } as const;

export const FILE_OP = {
  ...{ stat: 1, list: 2, read: 3, write: 4, remove: 5, rename: 6 },
  ...{ makeDirectory: 7, makeSymlink: 8, makeLink: 9, makeNode: 10, set: 11 },
} as const;

const FLAG = { follow: 1, recursive: 2, inPlace: 4, parents: 8, extended: 16 } as const;
const HAS = { mode: 1, owner: 2, time: 4 } as const;

const HEAD_BYTES = 5;
const FIXED_BYTES = 58;
const ENTRY_BYTES = 88;
/** A request of the file server's. */
const MAX_REQUEST = 64 << 10;
/** No agent sends longer ones: a name, a path and some numbers, or a piece of a file. */
const MAX_RECORD = 64 << 10;

/** The type of a file in its mode, as stat(2) has it. */
const TYPES: ReadonlyMap<number, GuestFileType> = new Map([
  [0o010000, 'fifo'],
  [0o020000, 'character'],
  [0o040000, 'directory'],
  [0o060000, 'block'],
  [0o100000, 'file'],
  [0o120000, 'symlink'],
  [0o140000, 'socket'],
]);
export const NODE_BITS = { fifo: 0o010000, character: 0o020000, block: 0o060000 } as const;

/** All that a request of the file server can hold. */
export interface FileRequest extends FilePlace, Pick<FileAttributes, 'mode' | 'owner' | 'modified'> {
  readonly op: number;
  readonly recursive?: boolean;
  readonly inPlace?: boolean;
  readonly parents?: boolean;
  readonly offset?: bigint;
  readonly length?: bigint;
  /** Of a node. */
  readonly typeBits?: number;
  readonly major?: number;
  readonly minor?: number;
  /** Extended attributes are told; of what is written or set they follow, until `RECORD.end`. */
  readonly withExtended?: boolean;
  /** The target of a link, or the other name. */
  readonly other?: Uint8Array;
}

const NOTHING = new Uint8Array();

export function record(type: number, payload: Uint8Array = NOTHING): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  bytes[0] = type;
  bytes.writeUInt32BE(payload.length, 1);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

/** What goes before a piece of a file's content, as standard input of the file server: both heads. */
export const contentHead = (bytes: number): Uint8Array =>
  Buffer.concat([frameHead(AGENT_FRAME.stdin, HEAD_BYTES + bytes), frameHead(RECORD.data, bytes)]);

export function holeRecord(bytes: bigint): Uint8Array {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64BE(bytes);
  return record(RECORD.hole, payload);
}

/** @throws Fault `invalid` for what no agent takes */
export function requestRecord(request: FileRequest): Uint8Array {
  const { op, path, below = NOTHING, other = NOTHING, mode, owner, modified, typeBits = 0 } = request;
  const fixed = Buffer.alloc(FIXED_BYTES);
  fixed[0] = op;
  fixed[1] =
    (request.follow ? FLAG.follow : 0) |
    (request.recursive ? FLAG.recursive : 0) |
    (request.inPlace ? FLAG.inPlace : 0) |
    (request.parents ? FLAG.parents : 0) |
    (request.withExtended ? FLAG.extended : 0);
  fixed[2] = (mode === undefined ? 0 : HAS.mode) | (owner ? HAS.owner : 0) | (modified ? HAS.time : 0);
  fixed.writeUInt32BE((((mode ?? 0) & 0o7777) | typeBits) >>> 0, 4);
  fixed.writeUInt32BE(owner?.uid ?? 0, 8);
  fixed.writeUInt32BE(owner?.gid ?? 0, 12);
  fixed.writeBigInt64BE(modified?.seconds ?? 0n, 16);
  fixed.writeUInt32BE(modified?.nanos ?? 0, 24);
  fixed.writeBigUInt64BE(request.offset ?? 0n, 28);
  fixed.writeBigUInt64BE(request.length ?? 0n, 36);
  fixed.writeUInt32BE(request.major ?? 0, 44);
  fixed.writeUInt32BE(request.minor ?? 0, 48);
  const names = [path, below, other];
  if (names.reduce((sum, { length }) => sum + length, FIXED_BYTES) > MAX_REQUEST)
    throw Fault.invalid([{ field: 'path', description: `is longer than an agent takes, ${MAX_REQUEST} bytes` }]);
  for (const [i, { length }] of names.entries()) fixed.writeUInt16BE(length, 52 + 2 * i);
  return record(RECORD.do, Buffer.concat([fixed, ...names]));
}

export interface FileRecord {
  readonly type: number;
  readonly payload: Buffer;
}

/**
 * Reads the records of a file server, whatever it sends. Of a file's content each piece is handed on as it comes, as a record of
 * its own, and as it lies: what is pushed must not change.
 */
export class RecordDecoder {
  /** Of a record that is not whole. */
  #kept: Buffer[] = [];
  #size = 0;
  /** Of the content that is being passed on. */
  #dataLeft = 0;

  /** Whether all that was pushed is handed on. */
  get isEmpty(): boolean {
    return this.#size === 0 && this.#dataLeft === 0;
  }

  /** @throws Fault `tool` for what no agent sends */
  *push(bytes: Uint8Array): Generator<FileRecord> {
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    while (rest.length > 0) {
      if (this.#dataLeft > 0) {
        const payload = rest.subarray(0, this.#dataLeft);
        this.#dataLeft -= payload.length;
        rest = rest.subarray(payload.length);
        yield { type: RECORD.data, payload };
        continue;
      }
      rest = this.#joined(rest);
      if (rest.length < HEAD_BYTES) return this.#keep(rest);
      const type = rest.readUInt8(0);
      const end = HEAD_BYTES + lengthIn(rest);
      if (type === RECORD.data) {
        this.#dataLeft = end - HEAD_BYTES;
        rest = rest.subarray(HEAD_BYTES);
      } else if (rest.length < end) {
        return this.#keep(rest);
      } else {
        yield { type, payload: rest.subarray(HEAD_BYTES, end) };
        rest = rest.subarray(end);
      }
    }
  }

  #keep(bytes: Buffer): void {
    this.#kept.push(bytes);
    this.#size += bytes.length;
  }

  #joined(bytes: Buffer): Buffer {
    if (this.#size === 0) return bytes;
    const all = Buffer.concat([...this.#kept, bytes]);
    this.#kept = [];
    this.#size = 0;
    return all;
  }
}

function lengthIn(head: Buffer): number {
  const length = head.readUInt32BE(1);
  if (length > MAX_RECORD)
    throw new Fault('tool', `The guest agent sent a record of a file with ${length} bytes, over ${MAX_RECORD}`);
  return length;
}

/** What an agent said of a file, with when its inode changed. */
export interface Entry {
  readonly file: GuestFile;
  readonly changed: FileTime;
}

/** @throws Fault `tool` for what no file is */
export function parseEntry(payload: Buffer): Entry {
  if (payload.length < ENTRY_BYTES) throw malformed();
  const nameEnd = ENTRY_BYTES + payload.readUInt16BE(84);
  if (payload.length !== nameEnd + payload.readUInt16BE(86)) throw malformed();
  const name = new Uint8Array(payload.subarray(ENTRY_BYTES, nameEnd));
  const target = new Uint8Array(payload.subarray(nameEnd));
  const mode = payload.readUInt32BE(0);
  const modified = timeOf(payload.readBigInt64BE(20), payload.readUInt32BE(28));
  const changed = timeOf(payload.readBigInt64BE(32), payload.readUInt32BE(40));
  if (name.includes(0) || name.includes(SLASH) || target.includes(0)) throw malformed();
  const file: GuestFile = {
    ...{ name, target, modified, type: TYPES.get(mode & 0o170000) ?? 'other', mode: mode & 0o7777 },
    ...{ uid: payload.readUInt32BE(4), gid: payload.readUInt32BE(8), size: payload.readBigUInt64BE(12) },
    ...{ links: payload.readBigUInt64BE(44), device: payload.readBigUInt64BE(52), inode: payload.readBigUInt64BE(60) },
    ...{ allocated: payload.readBigUInt64BE(68), major: payload.readUInt32BE(76), minor: payload.readUInt32BE(80) },
  };
  return { file, changed };
}

const SLASH = 0x2f;
/** The years that protobuf's timestamps know. A guest's disk may say any other. */
const FIRST_SECOND = -62_135_596_800n;
const LAST_SECOND = 253_402_300_799n;

function timeOf(seconds: bigint, nanos: number): FileTime {
  const isKnown = seconds >= FIRST_SECOND && seconds <= LAST_SECOND && nanos < 1_000_000_000;
  return isKnown ? { seconds, nanos } : { seconds: 0n, nanos: 0 };
}

const malformed = (): Fault => new Fault('tool', 'The guest agent told of a file in a form that no agent uses');

/** @throws Fault `tool` for none */
export function parseHole(payload: Buffer): bigint {
  if (payload.length !== 8) throw malformed();
  return payload.readBigUInt64BE();
}

/** The numbers of Linux, which are the same on x86_64 and arm64. */
const KINDS: ReadonlyMap<number, FaultKind> = new Map([
  [2, 'not_found'], // ENOENT
  [17, 'exists'], // EEXIST
  [39, 'exists'], // ENOTEMPTY
  [12, 'full'], // ENOMEM
  [28, 'full'], // ENOSPC
  [122, 'full'], // EDQUOT
  [5, 'tool'], // EIO
]);

/** @param what - what was tried, without the path */
export function failureOf(payload: Buffer, what: string): Fault {
  if (payload.length < 4) return malformed();
  const words = payload
    .subarray(4)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, 200);
  return new Fault(KINDS.get(payload.readUInt32BE(0)) ?? 'refused', `Cannot ${what} in the guest: ${words}`);
}
