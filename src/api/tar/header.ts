import { Fault } from '../../domain/fault.ts';

export const BLOCK = 512;
/** Of a name or a link's target: longer than any kernel takes. */
export const MAX_NAME = 64 << 10;

/** The types of tar entries that are written and read, by their letter. */
export type TarType = '0' | '1' | '2' | '3' | '4' | '5' | '6';

/** What stands before the content of an entry. Names are bytes, as files' are. */
export interface TarEntry {
  readonly type: TarType;
  readonly name: Uint8Array;
  /** Of links. */
  readonly target: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  /** In whole seconds since 1970. */
  readonly modified: bigint;
  readonly major: number;
  readonly minor: number;
}

/** [where, how long], as GNU's tar has them, whose long names are bytes and no text. */
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  modified: [136, 12],
  sum: [148, 8],
  type: [156, 1],
  target: [157, 100],
  magic: [257, 8],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const;

const LONG_NAME = '././@LongLink';

/** The bytes of an entry's head, with those of its long names before it. */
export function tarHeader(entry: TarEntry): Uint8Array {
  const long = (bytes: Uint8Array, type: 'K' | 'L'): Uint8Array[] => {
    if (bytes.length <= FIELDS.name[1]) return [];
    const size = bytes.length + 1;
    const head = block({ ...EMPTY, name: Buffer.from(LONG_NAME), size: BigInt(size) }, type);
    return [head, bytes, new Uint8Array(1 + padding(BigInt(size)))];
  };
  return Buffer.concat([...long(entry.target, 'K'), ...long(entry.name, 'L'), block(entry, entry.type)]);
}

/** What fills up the last block of a content. */
export const padding = (size: bigint): number => Number((BigInt(BLOCK) - (size % BigInt(BLOCK))) % BigInt(BLOCK));

const EMPTY: TarEntry = {
  ...{ type: '0', name: new Uint8Array(), target: new Uint8Array(), mode: 0, uid: 0, gid: 0 },
  ...{ size: 0n, modified: 0n, major: 0, minor: 0 },
};

function block(entry: TarEntry, type: string): Uint8Array {
  const bytes = Buffer.alloc(BLOCK);
  const put = ([at, length]: readonly [number, number], value: Uint8Array): void =>
    void bytes.set(value.subarray(0, length), at);
  put(FIELDS.name, entry.name);
  for (const field of ['mode', 'uid', 'gid', 'size', 'modified', 'major', 'minor'] as const)
    put(FIELDS[field], numberBytes(BigInt(entry[field]), FIELDS[field][1]));
  put(FIELDS.type, Buffer.from(type));
  put(FIELDS.target, entry.target);
  put(FIELDS.magic, Buffer.from('ustar  \0'));
  put(FIELDS.sum, Buffer.from(`${sumOf(bytes).toString(8).padStart(6, '0')}\0 `));
  return bytes;
}

/** In octal digits; where they do not suffice, or it is below 0, as GNU's tar has it: in base 256, the first bit set. */
function numberBytes(value: bigint, length: number): Uint8Array {
  const digits = value.toString(8);
  if (value >= 0n && digits.length < length) return Buffer.from(`${digits.padStart(length - 1, '0')}\0`);
  const bytes = Buffer.alloc(length);
  for (let at = length - 1, rest = value; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 255n);
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

/** Its own field counts as blanks. */
function sumOf(bytes: Uint8Array): number {
  const [from, length] = FIELDS.sum;
  let sum = 0;
  for (const [at, byte] of bytes.entries()) sum += at >= from && at < from + length ? 0x20 : byte;
  return sum;
}

export interface TarHead extends Omit<TarEntry, 'type'> {
  /** Any letter. */
  readonly type: string;
}

/** @returns undefined: a block of zeros, of which two are the end @throws Fault `invalid` for what is no head */
export function readHeader(bytes: Uint8Array): TarHead | undefined {
  const of = ([at, length]: readonly [number, number]): Buffer => Buffer.from(bytes.subarray(at, at + length));
  const text = (field: readonly [number, number]): Buffer => {
    const whole = of(field);
    const end = whole.indexOf(0);
    return end < 0 ? whole : whole.subarray(0, end);
  };
  if (bytes.every((byte) => byte === 0)) return undefined;
  if (readNumber(of(FIELDS.sum)) !== BigInt(sumOf(bytes))) throw noTar('a head has a wrong sum');
  const number = (field: 'mode' | 'uid' | 'gid' | 'major' | 'minor'): number => Number(readNumber(of(FIELDS[field])));
  const isPosix = of(FIELDS.magic).subarray(0, 6).equals(Buffer.from('ustar\0'));
  const prefix = isPosix ? text(FIELDS.prefix) : Buffer.alloc(0);
  const size = readNumber(of(FIELDS.size));
  if (size < 0n || size >= 2n ** 63n) throw noTar('an entry has an impossible size');
  return {
    type: String.fromCharCode(of(FIELDS.type)[0] ?? 0),
    name: prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), text(FIELDS.name)]) : text(FIELDS.name),
    target: text(FIELDS.target),
    ...{ mode: number('mode') & 0o7777, uid: number('uid'), gid: number('gid') },
    ...{ size, modified: readNumber(of(FIELDS.modified)), major: number('major'), minor: number('minor') },
  };
}

function readNumber(bytes: Buffer): bigint {
  const first = bytes[0] ?? 0;
  if ((first & 0x80) === 0) {
    const digits = /^[ \0]*([0-7]*)/.exec(bytes.toString('latin1'))?.[1];
    return digits ? BigInt(`0o${digits}`) : 0n;
  }
  let value = first & 0x40 ? -1n : 0n;
  for (const [at, byte] of bytes.entries())
    value = (value << 8n) | BigInt(at === 0 && !(first & 0x40) ? byte & 0x7f : byte);
  return value;
}

export const noTar = (why: string): Fault =>
  Fault.invalid([{ field: 'body', description: `is no tar archive that can be taken: ${why}` }]);
