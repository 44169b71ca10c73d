import { BadTar, show } from './bad-tar.ts';
import type { Bytes, EntryType, Sparse, TarEntry } from './entry.ts';
import { boundedTime, fieldText, headerNumber, owner, paxNumber, paxTime } from './numbers.ts';
import { readSparseMap, sparseFromHeader, sparseFromRecords } from './sparse.ts';

const BLOCK = 512;
/** As Go's archive/tar: a header of headers may not be larger. */
const MAX_SPECIAL_BYTES = 1 << 20;

const TYPES: Readonly<Record<string, EntryType>> = {
  ...{ '0': 'file', '\0': 'file', '7': 'file', S: 'file' },
  ...{ '1': 'hard link', '2': 'symlink', '3': 'character device', '4': 'block device', '5': 'directory', '6': 'fifo' },
};

/** Of a pax header; a key that is given twice counts the last time, but in the oldest form of sparse files. */
type Records = readonly (readonly [key: Bytes, value: Bytes])[];

/** Where a tar archive is read from. */
export interface ByteSource {
  /** What is there, at most `max` bytes; undefined at the end. */
  some(max: number): Promise<Buffer | undefined>;
  /** Just so many bytes; fewer only at the end. */
  exactly(count: number): Promise<Buffer>;
  /** @returns how many there were to skip */
  skip(count: number): Promise<number>;
}

/**
 * Reads a tar archive as Docker and containerd read it: V7, ustar, pax and
 * GNU's forms; pax global headers are passed over; the end may be missing.
 * @see https://www.gnu.org/software/tar/manual/html_node/Standard.html
 */
export class TarReader {
  readonly #bytes: ByteSource;
  /** Of the current entry: data not read yet, and what fills its last block. */
  #left = 0;
  #padding = 0;
  #isEnded = false;

  constructor(bytes: ByteSource) {
    this.#bytes = bytes;
  }

  /** The next entry; undefined at the end. What is left of the one before is passed over. @throws BadTar */
  async next(): Promise<TarEntry | undefined> {
    await this.#skipData();
    let records: Records = [];
    let longName: Bytes | undefined;
    let longLink: Bytes | undefined;
    for (;;) {
      const block = await this.#header();
      if (!block) {
        if (records.length > 0 || longName !== undefined || longLink !== undefined) throw cut();
        return undefined;
      }
      const flag = String.fromCharCode(block[156] ?? 0);
      if (!'xgLKV'.includes(flag)) return this.#entry(block, flag, records, longName, longLink);
      const data = await this.#special(block);
      if (flag === 'x') records = parseRecords(data);
      else if (flag === 'L') longName = cString(data);
      else if (flag === 'K') longLink = cString(data);
      // Of a global header nothing applies to an entry, and a volume's name is nobody's.
    }
  }

  /** Whether the archive's own end was read: one that lacks it may have been cut off between two entries. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** The data of the current entry, piece by piece; undefined at its end. */
  async data(): Promise<Buffer | undefined> {
    if (this.#left === 0) return undefined;
    const part = await this.#bytes.some(this.#left);
    if (!part) throw cut();
    this.#left -= part.length;
    return part;
  }

  async #skipData(): Promise<void> {
    const left = this.#left;
    if ((await this.#bytes.skip(left)) < left) throw cut();
    this.#left = 0;
    // An archive may end without what fills its last block.
    await this.#bytes.skip(this.#padding);
    this.#padding = 0;
  }

  /** A block that is a header; undefined at the end: two blocks of zeros, or no more bytes. */
  async #header(): Promise<Buffer | undefined> {
    const block = await this.#bytes.exactly(BLOCK);
    if (block.length === 0) return undefined;
    if (block.length < BLOCK) throw cut();
    if (isZero(block)) {
      const second = await this.#bytes.exactly(BLOCK);
      if (second.length < BLOCK || isZero(second)) {
        this.#isEnded = true;
        return undefined;
      }
      throw new BadTar('is no tar archive: a block of zeros stands between its entries');
    }
    requireChecksum(block);
    return Buffer.from(block);
  }

  async #special(block: Buffer): Promise<Buffer> {
    const size = headerNumber(block.subarray(124, 136));
    if (size < 0 || size > MAX_SPECIAL_BYTES) throw new BadTar('has a header of more than 1 MiB');
    const data = await this.#bytes.exactly(size);
    if (data.length < size) throw cut();
    await this.#bytes.skip(fill(size));
    return data;
  }

  async #entry(
    block: Buffer,
    flag: string,
    records: Records,
    longName: Bytes | undefined,
    longLink: Bytes | undefined,
  ): Promise<TarEntry> {
    const pax = new Map(records.filter(([, value]) => value !== ''));
    const number = (key: string, from: number, to: number): number => {
      const record = pax.get(key);
      return record === undefined ? headerNumber(block.subarray(from, to)) : paxNumber(key, record);
    };
    const headerName = longName ?? ustarName(block);
    // GNU tar cuts the header's name of a sparse file where it is full, be it behind a slash.
    const sparseName = isSparse(pax) ? pax.get('GNU.sparse.name') : undefined;
    const name = sparseName ?? pax.get('path') ?? headerName;
    const link = pax.get('linkpath') ?? longLink ?? cString(block.subarray(157, 257));
    for (const text of [name, link]) if (text.includes('\0')) throw new BadTar('has a name with a NUL in it');
    const known = TYPES[flag];
    if (known === undefined)
      throw new BadTar(`has ${show(name)} as a kind of file that is none (tar type ${show(flag)})`);
    // Before there was a type for it, a directory was a file whose name ends so.
    const type = known === 'file' && name.endsWith('/') ? 'directory' : known;
    const size = type === 'file' ? number('size', 124, 136) : 0;
    if (!Number.isSafeInteger(size) || size < 0) throw new BadTar(`has ${show(name)} with a size that is none`);
    this.#left = size;
    this.#padding = fill(size);
    const sparse = await this.#sparse(block, flag, records, pax);
    const mtime = pax.get('mtime');
    return {
      type,
      name,
      link: type === 'symlink' || type === 'hard link' ? link : '',
      mode: headerNumber(block.subarray(100, 108)) & 0o7777,
      uid: owner(number('uid', 108, 116)),
      gid: owner(number('gid', 116, 124)),
      mtime: mtime === undefined ? boundedTime(headerNumber(block.subarray(136, 148))) : paxTime(mtime),
      size: this.#left,
      ...(sparse && { sparse }),
      device: type.endsWith('device')
        ? [headerNumber(block.subarray(329, 337)), headerNumber(block.subarray(337, 345))]
        : [0, 0],
      xattrs: new Map(
        [...pax].flatMap(([key, value]) => (key.startsWith(XATTR) ? [[key.slice(XATTR.length), value] as const] : [])),
      ),
    };
  }

  async #sparse(
    block: Buffer,
    flag: string,
    records: Records,
    pax: ReadonlyMap<Bytes, Bytes>,
  ): Promise<Sparse | undefined> {
    const more = async (): Promise<Buffer> => {
      const next = await this.#bytes.exactly(BLOCK);
      if (next.length < BLOCK) throw cut();
      return next;
    };
    if (flag === 'S') return sparseFromHeader(block, more, this.#left);
    if (isSparse1(pax)) {
      const inData = async (): Promise<Buffer> => {
        if (this.#left < BLOCK) throw cut();
        this.#left -= BLOCK;
        return more();
      };
      return readSparseMap(pax, inData, () => this.#left);
    }
    return sparseFromRecords(records, pax, this.#left);
  }
}

/** By a form of pax; the old one of GNU has its name in the header. */
const isSparse = (pax: ReadonlyMap<Bytes, Bytes>): boolean =>
  isSparse1(pax) || pax.get('GNU.sparse.size') !== undefined;
const isSparse1 = (pax: ReadonlyMap<Bytes, Bytes>): boolean =>
  pax.get('GNU.sparse.major') === '1' && pax.get('GNU.sparse.minor') === '0';
const XATTR = 'SCHILY.xattr.';
const cut = (): Error => new BadTar('is cut off in the middle');
const fill = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;
const ZEROS = Buffer.alloc(BLOCK);
const isZero = (block: Buffer): boolean => block.equals(ZEROS);

export function cString(field: Buffer): Bytes {
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? field.length : end);
}

/** ustar splits long names; GNU tar has other fields in that place, and star a shorter one. */
function ustarName(block: Buffer): Bytes {
  const name = cString(block.subarray(0, 100));
  if (block.toString('latin1', 257, 263) !== 'ustar\0') return name;
  const isStar = block.toString('latin1', 508, 512) === 'tar\0';
  const prefix = cString(block.subarray(345, isStar ? 476 : 500));
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** The checksum counts itself as spaces; some old tars summed signed bytes. */
function requireChecksum(block: Buffer): void {
  let unsigned = 8 * 32;
  let signed = 8 * 32;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    const byte = block[i] ?? 0;
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const field = fieldText(block.subarray(148, 156));
  const told = /^[0-7]+$/.test(field) ? Number.parseInt(field, 8) : -1;
  if (told !== unsigned && told !== signed)
    throw new BadTar('is no tar archive, or a damaged one: the checksum of a header does not match');
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. @throws BadTar */
function parseRecords(data: Buffer): Records {
  const bad = (): Error => new BadTar('has a pax header that cannot be read');
  const records: [Bytes, Bytes][] = [];
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const digits = data.toString('latin1', at, space < 0 ? at : Math.min(space, at + 8));
    const length = Number(digits);
    const end = at + length;
    if (!/^\d{1,7}$/.test(digits) || length < 5 || end > data.length || data[end - 1] !== 0x0a) throw bad();
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw bad();
    records.push([data.toString('latin1', space + 1, equals), data.toString('latin1', equals + 1, end - 1)]);
    at = end;
  }
  return records;
}
