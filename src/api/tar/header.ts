export const BLOCK = 512;

/** The types of tar entries that are written, by their letter. */
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
