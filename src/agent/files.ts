import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { AgentInfo } from '../ports/guest-agent.ts';
import type {
  FileAttributes,
  FileChange,
  FileContent,
  FileLook,
  FileReading,
  GuestFile,
  GuestFiles,
} from '../ports/guest-files.ts';
import type { AgentConnection } from './exec.ts';
import { extendedRecords, FilesTold } from './file-extended.ts';
import {
  type Entry,
  FILE_OP,
  type FileRequest,
  NODE_BITS,
  parseEntry,
  parseHole,
  RECORD,
  requestRecord,
} from './file-records.ts';
import { FileServers, type FilesAsked } from './file-server.ts';

/** A list is handed on when so many are there, or no more have come yet. */
const MAX_TOGETHER = 256;

/** So much of a file is handed on at once. */
const TOGETHER_BYTES = 128 << 10;

/** The files of a guest, by connections to its agent that `open` makes: as many as operations are under way. See `GuestFiles`. */
export function filesOver(
  { version, features }: AgentInfo,
  open: () => AgentConnection,
  clock: Pick<Clock, 'after'>,
): GuestFiles {
  const servers = new FileServers(open, clock);
  const ask = (asked: FilesAsked, signal: AbortSignal): ReturnType<FileServers['ask']> => {
    if (features.includes('files')) return servers.ask(asked, signal);
    throw new Fault(
      'refused',
      `The guest agent, version ${version}, knows nothing of files: one of this version of Flintlock does`,
    );
  };
  const hasExtended = features.includes('extended');
  /** Files, some at once; with their extended attributes where those are asked for. */
  async function* told(op: number, place: FileLook, what: string, signal: AbortSignal): AsyncGenerator<GuestFile[]> {
    const { wantsExtended = false } = place;
    const request = requestRecord({ op, ...placeOf(place), withExtended: wantsExtended && hasExtended });
    const files = new FilesTold(hasExtended);
    for await (const records of ask({ request, what }, signal))
      yield wantsExtended
        ? records.flatMap((one) => [...files.take(one)])
        : records.filter(({ type }) => type === RECORD.entry).map(({ payload }) => parseEntry(payload).file);
    yield [...files.end()];
  }
  /** The extended attributes that go with a request. */
  const extendedOf = ({ extended, onExtendedLost }: FileAttributes) => {
    const records = hasExtended ? extendedRecords(extended) : undefined;
    const left = records?.left ?? extended?.length ?? 0;
    if (left > 0) onExtendedLost?.(left);
    return records?.bytes;
  };
  const done = async (asked: FilesAsked, { onExtendedLost }: FileAttributes, signal: AbortSignal): Promise<void> => {
    for await (const records of ask(asked, signal))
      for (const { type, payload } of records) if (type === RECORD.done) onExtendedLost?.(payload[0] ?? 0);
  };
  return {
    async stat(place, signal) {
      for await (const files of told(FILE_OP.stat, place, 'look at the file', signal))
        for (const file of files) return file;
      throw new Fault('tool', 'The guest agent did not tell what the file is');
    },

    async *list(place, signal) {
      for await (const files of told(FILE_OP.list, place, 'list the directory', signal))
        for (let at = 0; at < files.length; at += MAX_TOGETHER) yield files.slice(at, at + MAX_TOGETHER);
    },

    async *read(place, { offset, length }, signal) {
      const request = requestRecord({ op: FILE_OP.read, ...placeOf(place), offset, length });
      const reading = new Reading(offset);
      for await (const records of ask({ request, what: 'read the file' }, signal))
        for (const record of records) yield* reading.take(record.type, record.payload);
      yield* reading.end();
    },

    async write(writing, content, signal) {
      const { inPlaceFrom } = writing;
      const extended = extendedOf(writing);
      const request = requestRecord({
        ...{ op: FILE_OP.write, ...placeOf(writing), inPlace: inPlaceFrom !== undefined, offset: inPlaceFrom ?? 0n },
        ...{ ...attributesOf(writing), withExtended: extended !== undefined },
      });
      let bytes = 0n;
      async function* counted(): AsyncGenerator<FileContent> {
        for await (const one of content) {
          if (one.is === 'data') bytes += BigInt(one.data.length);
          yield one;
        }
      }
      await done({ request, what: 'write the file', extended, content: counted() }, writing, signal);
      return bytes;
    },

    async change(change, signal) {
      const given: FileAttributes = change.is === 'set' ? change : {};
      const extended = extendedOf(given);
      const request = requestRecord({ ...requestOf(change), withExtended: extended !== undefined });
      await done({ request, what: WHAT[change.is], extended }, given, signal);
    },
  };
}

/** What comes of a file that is read, held against what was said of it. */
class Reading {
  #first: Entry | undefined;
  #last: Entry | undefined;
  #at: bigint;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(offset: bigint) {
    this.#at = offset;
  }

  /** @throws Fault `tool` for more than there can be: a guest may say anything, and fill nobody's disk */
  *take(type: number, payload: Buffer): Generator<FileReading> {
    switch (type) {
      case RECORD.entry: {
        const entry = parseEntry(payload);
        this.#last = entry;
        if (this.#first) return;
        this.#first = entry;
        yield { is: 'file', file: entry.file };
        return;
      }
      case RECORD.data:
        this.#moved(BigInt(payload.length), false);
        this.#held.push(payload);
        this.#heldBytes += payload.length;
        if (this.#heldBytes >= TOGETHER_BYTES) yield* this.#release();
        return;
      case RECORD.hole: {
        const bytes = parseHole(payload);
        this.#moved(bytes, true);
        yield* this.#release();
        yield { is: 'hole', bytes };
        return;
      }
      default: // of a newer agent
    }
  }

  /** A message of its own for each piece would cost more than what is in it. */
  *#release(): Generator<FileReading> {
    if (this.#heldBytes > 0) yield { is: 'data', data: Buffer.concat(this.#held) };
    this.#held = [];
    this.#heldBytes = 0;
  }

  #moved(bytes: bigint, isHole: boolean): void {
    const size = this.#first?.file.size;
    this.#at += bytes;
    // What has no size, as in /proc, ends where it ends.
    if (size === undefined || ((isHole || size > 0n) && this.#at > size))
      throw new Fault('tool', 'The guest agent sent more of the file than it said that there is');
  }

  *end(): Generator<FileReading> {
    yield* this.#release();
    const { first, last } = { first: this.#first, last: this.#last };
    if (!first || !last || first === last)
      throw new Fault('tool', 'The guest agent did not tell what the file is after it was read');
    const changed =
      first.file.size !== last.file.size ||
      !isSame(first.file.modified, last.file.modified) ||
      !isSame(first.changed, last.changed);
    yield { is: 'end', changed };
  }
}

const isSame = (a: Entry['changed'], b: Entry['changed']): boolean => a.seconds === b.seconds && a.nanos === b.nanos;

const placeOf = ({ path, below, follow }: FileRequestPlace): FileRequestPlace => ({
  path,
  ...(below && { below }),
  ...(follow && { follow }),
});
type FileRequestPlace = Pick<FileRequest, 'path' | 'below' | 'follow'>;

type Optional<T> = { readonly [K in keyof T]?: T[K] | undefined };
type Attributes = Pick<FileRequest, 'mode' | 'owner' | 'modified'>;
const attributesOf = ({ mode, owner, modified }: Optional<Attributes>): Attributes => ({
  ...(mode !== undefined && { mode }),
  ...(owner && { owner }),
  ...(modified && { modified }),
});

/** What is tried, for the message of what went wrong. */
const WHAT: Readonly<Record<FileChange['is'], string>> = {
  remove: 'remove the file',
  rename: 'rename the file',
  'make directory': 'make the directory',
  'make symlink': 'make the symbolic link',
  'make link': 'make the hard link',
  'make fifo': 'make the pipe',
  'make device': 'make the device',
  set: 'set what the file has',
};

function requestOf(change: FileChange): FileRequest {
  const place = placeOf(change);
  switch (change.is) {
    case 'remove':
      return { op: FILE_OP.remove, ...place, recursive: change.recursive };
    case 'rename':
      return { op: FILE_OP.rename, ...place, other: change.to };
    case 'make directory':
      return { op: FILE_OP.makeDirectory, ...place, ...attributesOf(change), parents: change.parents };
    case 'make symlink':
      return { op: FILE_OP.makeSymlink, ...place, ...attributesOf(change), other: change.target };
    case 'make link':
      return { op: FILE_OP.makeLink, ...place, other: change.to };
    case 'make fifo':
      return { op: FILE_OP.makeNode, ...place, ...attributesOf(change), typeBits: NODE_BITS.fifo };
    case 'make device': {
      const { type, major, minor } = change;
      return { op: FILE_OP.makeNode, ...place, ...attributesOf(change), typeBits: NODE_BITS[type], major, minor };
    }
    case 'set':
      return { op: FILE_OP.set, ...place, ...attributesOf(change) };
    default:
      return change satisfies never;
  }
}
