import { Fault, type Violation } from '../../domain/fault.ts';
import type {
  FileAttributes as Attributes,
  ListFilesRequest,
  MakeDirectoryRequest,
  MakeLinkRequest,
  MakeNodeRequest,
  FilePlace as Place,
  ReadFileRequest,
  RemoveFileRequest,
  RenameFileRequest,
  SetFileRequest,
  StatFileRequest,
  WriteFileRequest,
} from '../../gen/flintlock/microvm/v1/guest_files_pb.ts';
import { GuestFileType as WireType } from '../../gen/flintlock/microvm/v1/guest_files_pb.ts';
import type {
  FileAttributes,
  FileChange,
  FileContent,
  FilePlace,
  FileReading,
  GuestFile,
  GuestFileType,
} from '../../ports/guest-files.ts';
import type { Services } from '../../service/services.ts';
import { eachUntil } from '../each-until.ts';
import { ownBytes } from '../own-bytes.ts';
import type { Call } from '../served.ts';

const TYPES = {
  other: WireType.OTHER_TYPE,
  file: WireType.REGULAR,
  directory: WireType.DIRECTORY,
  symlink: WireType.SYMLINK,
  fifo: WireType.FIFO,
  character: WireType.CHARACTER_DEVICE,
  block: WireType.BLOCK_DEVICE,
  socket: WireType.SOCKET,
} as const satisfies Record<GuestFileType, WireType>;

/** The verbs of GuestService about files. */
export function guestFiles(services: Services) {
  const change = async (place: Place | undefined, made: (at: FilePlace) => FileChange, { signal }: Call) => {
    const { uid, at } = placeOf(place);
    await services.changeFile({ uid, change: made(at) }, signal);
    return {};
  };
  return {
    statFile: async ({ place, extendedAttributes: wantsExtended }: StatFileRequest, { signal }: Call) => {
      const { uid, at } = placeOf(place);
      return {
        file: fileToWire(
          await services.statFile({ uid, place: { ...at, ...(wantsExtended && { wantsExtended }) } }, signal),
        ),
      };
    },

    async *listFiles({ place, extendedAttributes: wantsExtended }: ListFilesRequest, { signal }: Call) {
      const { uid, at } = placeOf(place);
      for await (const files of eachUntil(
        signal,
        services.listFiles({ uid, place: { ...at, ...(wantsExtended && { wantsExtended }) } }, signal),
      ))
        yield { files: files.map(fileToWire) };
    },

    async *readFile({ place, offset, length }: ReadFileRequest, { signal }: Call) {
      const { uid, at } = placeOf(place);
      const request = { uid, place: at, offset: inRange('offset', offset), length: inRange('length', length) };
      for await (const one of eachUntil(signal, services.readFile(request, signal))) yield readingToWire(one);
    },

    writeFile: async (requests: AsyncIterable<WriteFileRequest>, { signal }: Call) => {
      const messages = requests[Symbol.asyncIterator]();
      const first = await messages.next();
      const payload = first.done ? undefined : first.value.payload;
      if (payload?.case !== 'start')
        throw Fault.invalid([{ field: 'start', description: 'must say which file to write, in the first message' }]);
      const { place, attributes, inPlaceFrom } = payload.value;
      const { uid, at } = placeOf(place, 'start.place');
      const lost = new Lost();
      const writing = {
        ...{ ...at, ...lost.of(attributesOf(attributes)) },
        ...(inPlaceFrom !== undefined && { inPlaceFrom: inRange('start.in_place_from', inPlaceFrom) }),
      };
      const bytes = await services.writeFile({ uid, writing }, contentOf(messages), signal);
      return { bytes, extendedAttributesLost: lost.count };
    },

    removeFile: ({ place, recursive }: RemoveFileRequest, call: Call) =>
      change(place, (at) => ({ is: 'remove', ...at, recursive }), call),

    renameFile: ({ place, newPath }: RenameFileRequest, call: Call) =>
      change(place, (at) => ({ is: 'rename', ...at, to: pathOf('new_path', newPath) }), call),

    makeDirectory: ({ place, attributes, parents }: MakeDirectoryRequest, call: Call) =>
      change(place, (at) => ({ is: 'make directory', ...at, parents, ...attributesOf(attributes) }), call),

    makeLink: ({ place, kind, attributes }: MakeLinkRequest, call: Call) =>
      change(place, (at) => ({ ...at, ...linkOf(kind, attributesOf(attributes)) }), call),

    makeNode: ({ place, type, major, minor, attributes }: MakeNodeRequest, call: Call) =>
      change(place, (at) => ({ ...at, ...nodeOf(type, major, minor), ...attributesOf(attributes) }), call),

    setFile: async ({ place, attributes }: SetFileRequest, call: Call) => {
      const lost = new Lost();
      const given = lost.of(attributesOf(attributes));
      await change(place, (at) => ({ is: 'set', ...at, ...given }), call);
      return { extendedAttributesLost: lost.count };
    },
  };
}

/** Counts the extended attributes that a guest does not take. */
class Lost {
  count = 0;

  /** The same, and where they are told. */
  of(attributes: FileAttributes): FileAttributes {
    if (!attributes.extended) return attributes;
    const onExtendedLost = (count: number): void => {
      this.count += count;
    };
    return { ...attributes, onExtendedLost };
  }
}

const SLASH = 0x2f;

/** @throws Fault `invalid` */
function placeOf(place: Place | undefined, field = 'place'): { readonly uid: string; readonly at: FilePlace } {
  const { uid = '', path = new Uint8Array(), below = new Uint8Array(), follow = false } = place ?? {};
  const violations: Violation[] = [];
  const refuse = (name: string, description: string): void =>
    void violations.push({ field: `${field}.${name}`, description });
  if (uid === '') refuse('uid', 'must name the microvm');
  if (path[0] !== SLASH) refuse('path', 'must be absolute');
  if (path.includes(0)) refuse('path', 'holds a NUL');
  if (below.includes(0)) refuse('below', 'holds a NUL');
  if (follow && below.length > 0) refuse('follow', 'is for a path with nothing below it');
  if (violations.length > 0) throw Fault.invalid(violations);
  return { uid, at: { path, ...(below.length > 0 && { below }), ...(follow && { follow }) } };
}

/** @throws Fault `invalid` */
function pathOf(field: string, path: Uint8Array): Uint8Array {
  if (path[0] === SLASH && !path.includes(0)) return path;
  throw Fault.invalid([{ field, description: 'must be absolute, and holds no NUL' }]);
}

/** As far as a file can be long. @throws Fault `invalid` */
function inRange(field: string, bytes: bigint): bigint {
  if (bytes < 2n ** 63n) return bytes;
  throw Fault.invalid([{ field, description: 'is more than a file can have' }]);
}

/** @throws Fault `invalid` */
function attributesOf(given: Attributes | undefined): FileAttributes {
  const { mode, owner, modifiedAt, extendedAttributes: extended = [] } = given ?? {};
  if (extended.reduce((sum, { name, value }) => sum + name.length + value.length, 0) > MAX_EXTENDED)
    throw Fault.invalid([{ field: 'attributes.extended_attributes', description: 'must have 64 KiB at most' }]);
  if (mode !== undefined && mode > 0o7777)
    throw Fault.invalid([{ field: 'attributes.mode', description: 'must be 0 to 4095, which is 07777' }]);
  if (modifiedAt && (modifiedAt.nanos < 0 || modifiedAt.nanos > 999_999_999))
    throw Fault.invalid([{ field: 'attributes.modified_at', description: 'must have 0 to 999999999 nanos' }]);
  return {
    ...(mode !== undefined && { mode }),
    ...(owner && { owner: { uid: owner.uid, gid: owner.gid } }),
    ...(modifiedAt && { modified: { seconds: modifiedAt.seconds, nanos: modifiedAt.nanos } }),
    ...(extended.length > 0 && { extended }),
  };
}

const MAX_EXTENDED = 64 << 10;

type Link = { is: 'make symlink'; target: Uint8Array } | { is: 'make link'; to: Uint8Array };

/** @throws Fault `invalid` */
function linkOf(kind: MakeLinkRequest['kind'], attributes: FileAttributes): Link & FileAttributes {
  const { value = new Uint8Array() } = kind;
  if (kind.case === undefined || value.length === 0 || value.includes(0))
    throw Fault.invalid([{ field: 'kind', description: 'must say where the link leads to, without a NUL' }]);
  return kind.case === 'hardTo' ? { is: 'make link', to: value } : { is: 'make symlink', target: value, ...attributes };
}

type Node = { is: 'make fifo' } | { is: 'make device'; type: 'character' | 'block'; major: number; minor: number };

/** @throws Fault `invalid` */
function nodeOf(type: WireType, major: number, minor: number): Node {
  if (type === WireType.FIFO) return { is: 'make fifo' };
  if (type === WireType.CHARACTER_DEVICE) return { is: 'make device', type: 'character', major, minor };
  if (type === WireType.BLOCK_DEVICE) return { is: 'make device', type: 'block', major, minor };
  throw Fault.invalid([{ field: 'type', description: 'must be FIFO, CHARACTER_DEVICE or BLOCK_DEVICE' }]);
}

async function* contentOf(messages: AsyncIterator<WriteFileRequest>): AsyncGenerator<FileContent> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { payload } = next.value;
    switch (payload.case) {
      case 'data':
        yield { is: 'data', data: payload.value };
        break;
      case 'hole':
        yield { is: 'hole', bytes: inRange('hole', payload.value) };
        break;
      case 'end':
        if (payload.value) return;
        break;
      case 'start':
        throw Fault.invalid([{ field: 'start', description: 'belongs into the first message only' }]);
      default: // of a newer client
    }
  }
  throw Fault.invalid([
    { field: 'end', description: 'did not come: the file is not whole, and nothing of it is kept' },
  ]);
}

function fileToWire(found: GuestFile) {
  const { modified, uid, gid, links, device, inode, allocated, extended = [], isExtendedPart = false, ...file } = found;
  const { mode, size, major, minor } = file;
  return {
    ...{ mode, size, major, minor, links, device, inode, allocatedBytes: allocated },
    ...{ name: ownBytes(file.name), target: ownBytes(file.target), type: TYPES[file.type] },
    ...{ owner: { uid, gid }, modifiedAt: { seconds: modified.seconds, nanos: modified.nanos } },
    extendedAttributes: extended.map(({ name, value }) => ({ name: ownBytes(name), value: ownBytes(value) })),
    extendedAttributesPartial: isExtendedPart,
  };
}

function readingToWire(one: FileReading) {
  switch (one.is) {
    case 'file':
      return { payload: { case: 'file' as const, value: fileToWire(one.file) } };
    case 'data':
      return { payload: { case: 'data' as const, value: ownBytes(one.data) } };
    case 'hole':
      return { payload: { case: 'hole' as const, value: one.bytes } };
    case 'end':
      return { payload: { case: 'end' as const, value: { changed: one.changed } } };
    default:
      return one satisfies never;
  }
}
