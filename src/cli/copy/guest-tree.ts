import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError } from '@connectrpc/connect';
import {
  type FilePlaceSchema,
  type GuestFile,
  GuestFileType,
  type WriteFileRequestSchema,
} from '../../gen/flintlock/microvm/v1/guest_files_pb.ts';
import type { GuestService } from '../../gen/flintlock/microvm/v1/guest_pb.ts';
import { quick } from '../client.ts';
import { EXIT, Problem } from '../exit.ts';
import { printable } from '../print/style.ts';
import {
  type Attributes,
  type Entry,
  FileProblem,
  type FileType,
  isName,
  joinNames,
  type Names,
  type Piece,
  shownPath,
  type Tree,
} from './tree.ts';

export interface GuestOptions {
  readonly guests: Client<typeof GuestService>;
  readonly uid: string;
  /** As the user named it. */
  readonly vm: string;
  readonly signal: AbortSignal;
}

/** What a guest may list at most of one directory: nobody has more, and its word costs memory here. */
const MAX_ENTRIES = 1_000_000;

const TYPES: Readonly<Record<GuestFileType, FileType>> = {
  [GuestFileType.OTHER_TYPE]: 'other',
  [GuestFileType.REGULAR]: 'file',
  [GuestFileType.DIRECTORY]: 'directory',
  [GuestFileType.SYMLINK]: 'symlink',
  [GuestFileType.FIFO]: 'fifo',
  [GuestFileType.CHARACTER_DEVICE]: 'character',
  [GuestFileType.BLOCK_DEVICE]: 'block',
  [GuestFileType.SOCKET]: 'socket',
};

/** Files of a guest. What it says of them is believed of nothing but themselves. */
export class GuestTree implements Tree {
  readonly #path: Uint8Array;
  readonly #options: GuestOptions;

  /** @param path - absolute */
  constructor(path: Uint8Array, options: GuestOptions) {
    this.#path = path;
    this.#options = options;
  }

  shown(names: Names): string {
    return `${printable(this.#options.vm)}:${shownPath(this.#path, names)}`;
  }

  async look(names: Names, isSource = false): Promise<Entry | undefined> {
    const { guests, signal } = this.#options;
    try {
      const request = { place: this.#place(names), extendedAttributes: isSource };
      const { file } = await guests.statFile(request, quick(signal));
      return file && entryOf(file);
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
      throw this.#told('look at', names, error);
    }
  }

  async list(names: Names): Promise<readonly Entry[]> {
    const { guests, signal } = this.#options;
    const entries: Entry[] = [];
    try {
      for await (const { files } of guests.listFiles(
        { place: this.#place(names), extendedAttributes: true },
        { signal },
      )) {
        for (const file of files) {
          if (!isName(file.name))
            throw new Problem(EXIT.failed, `${this.shown(names)} has a file of an impossible name, so the guest says`);
          entries.push(entryOf(file));
        }
        if (entries.length > MAX_ENTRIES)
          throw new Problem(EXIT.failed, `${this.shown(names)} has more than ${MAX_ENTRIES} files`);
      }
      return entries;
    } catch (error) {
      throw this.#told('list', names, error);
    }
  }

  async *read(names: Names, onChanged: () => void): AsyncGenerator<Piece> {
    const { guests, signal } = this.#options;
    let isWhole = false;
    try {
      for await (const { payload } of guests.readFile({ place: this.#place(names) }, { signal })) {
        if (payload.case === 'data') yield payload.value;
        else if (payload.case === 'hole') yield { hole: payload.value };
        else if (payload.case === 'end') {
          isWhole = true;
          if (payload.value.changed) onChanged();
        }
      }
    } catch (error) {
      throw this.#told('read', names, error);
    }
    if (!isWhole) throw new Problem(EXIT.failed, `${this.shown(names)} was cut off: the daemon ended the call`);
  }

  async write(names: Names, attributes: Attributes | undefined, content: AsyncIterable<Piece>): Promise<number> {
    const { guests, signal } = this.#options;
    const start = { place: this.#place(names), ...(attributes && { attributes: wireOf(attributes) }) };
    const pieces = content[Symbol.asyncIterator]();
    let failed: unknown;
    async function* messages(): AsyncGenerator<MessageInitShape<typeof WriteFileRequestSchema>> {
      yield { payload: { case: 'start', value: start } };
      try {
        for (let next = await pieces.next(); !next.done; next = await pieces.next())
          if (!(next.value instanceof Uint8Array)) yield { payload: { case: 'hole', value: next.value.hole } };
          else yield { payload: { case: 'data', value: ownBytes(next.value) } };
      } catch (error) {
        failed = error; // Why it was not whole is told here.
        throw error;
      }
      yield { payload: { case: 'end', value: true } };
    }
    try {
      return (await guests.writeFile(messages(), { signal })).extendedAttributesLost;
    } catch (error) {
      throw failed ?? this.#told('write', names, error);
    } finally {
      // A call that was refused reads no further. Nobody waits for it: it may wait for who types.
      void Promise.resolve(pieces.return?.()).catch(() => undefined);
    }
  }

  async makeDirectory(names: Names): Promise<boolean> {
    const request = { place: this.#place(names), attributes: { mode: 0o700 } };
    try {
      await this.#options.guests.makeDirectory(request, quick(this.#options.signal));
      return true;
    } catch (error) {
      // One that is there is gone on with; a link is none.
      const isThere = error instanceof ConnectError && error.code === Code.AlreadyExists;
      if (isThere && (await this.look(names))?.type === 'directory') return false;
      throw this.#told('make', names, error);
    }
  }

  makeSymlink(names: Names, target: Uint8Array, { owner, modified }: Attributes): Promise<void> {
    const request = {
      ...{ place: this.#place(names), kind: { case: 'symbolicTo' as const, value: new Uint8Array(target) } },
      attributes: { owner, modifiedAt: modified },
    };
    return this.#change('make', names, ({ guests, signal }) => guests.makeLink(request, quick(signal)));
  }

  makeLink(names: Names, first: Names): Promise<void> {
    const kind = { case: 'hardTo' as const, value: new Uint8Array(joinNames(first)) };
    const request = { place: this.#place(names), kind };
    return this.#change('make', names, ({ guests, signal }) => guests.makeLink(request, quick(signal)));
  }

  makeNode(
    names: Names,
    { type, major, minor }: Pick<Entry, 'type' | 'major' | 'minor'>,
    attributes: Attributes,
  ): Promise<void> {
    const kind = NODES[type] ?? GuestFileType.OTHER_TYPE;
    const request = { place: this.#place(names), type: kind, major, minor, attributes: wireOf(attributes) };
    return this.#change('make', names, ({ guests, signal }) => guests.makeNode(request, quick(signal)));
  }

  async set(names: Names, attributes: Attributes): Promise<number> {
    const request = { place: this.#place(names), attributes: wireOf(attributes) };
    const { guests, signal } = this.#options;
    try {
      return (await guests.setFile(request, quick(signal))).extendedAttributesLost;
    } catch (error) {
      throw this.#told('set what it has of', names, error);
    }
  }

  async leave(): Promise<void> {
    // nothing is open
  }

  async #change(what: string, names: Names, work: (options: GuestOptions) => Promise<unknown>): Promise<void> {
    try {
      await work(this.#options);
    } catch (error) {
      throw this.#told(what, names, error);
    }
  }

  #place(names: Names): MessageInitShape<typeof FilePlaceSchema> {
    const place = { uid: this.#options.uid, path: new Uint8Array(this.#path) };
    return names.length === 0 ? { ...place, follow: true } : { ...place, below: new Uint8Array(joinNames(names)) };
  }

  /** What the guest said about one file is that file's; all else is the whole copy's. */
  #told(what: string, names: Names, error: unknown): unknown {
    if (!(error instanceof ConnectError) || this.#options.signal.aborted) return error;
    const words = / in the guest: (.*)$/s.exec(error.rawMessage)?.[1];
    if (words === undefined) return error;
    const message = `Cannot ${what} ${this.shown(names)}: ${printable(words)}`;
    return error.code === Code.ResourceExhausted
      ? new Problem(EXIT.failed, message, { cause: error })
      : new FileProblem(message, error);
  }
}

const NODES: Readonly<Partial<Record<FileType, GuestFileType>>> = {
  fifo: GuestFileType.FIFO,
  character: GuestFileType.CHARACTER_DEVICE,
  block: GuestFileType.BLOCK_DEVICE,
};

/** The messages' bytes never lie in shared memory. */
const ownBytes = (data: Uint8Array): Uint8Array<ArrayBuffer> =>
  data.buffer instanceof ArrayBuffer
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);

const wireOf = ({ mode, owner, modified, extended }: Attributes) => ({
  ...{ mode, owner, modifiedAt: modified },
  extendedAttributes: extended.map(({ name, value }) => ({ name: ownBytes(name), value: ownBytes(value) })),
});

const LACK =
  'the guest does not tell all of them: they are too large, or its agent is older and a restart of the microVM mends it';

function entryOf(file: GuestFile): Entry {
  const { owner, modifiedAt } = file;
  return {
    ...{ name: file.name, type: TYPES[file.type] ?? 'other', mode: file.mode & 0o7777, target: file.target },
    ...{ uid: owner?.uid ?? 0, gid: owner?.gid ?? 0, size: file.size, allocated: file.allocatedBytes },
    ...{ links: file.links, id: `${file.device}:${file.inode}`, major: file.major, minor: file.minor },
    ...{ extended: file.extendedAttributes, extendedLack: file.extendedAttributesPartial ? LACK : '' },
    modified: { seconds: modifiedAt?.seconds ?? 0n, nanos: modifiedAt?.nanos ?? 0 },
  };
}
