import { BLOCK, MAX_NAME, noTar, padding, readHeader, type TarEntry, type TarHead, type TarType } from './header.ts';

/** An entry that is read; its content must be read, or passed over, before the next one. */
export interface TarItem {
  readonly entry: TarEntry;
  content(): AsyncIterable<Uint8Array>;
}

/** Of the records of PAX before one entry. */
const MAX_RECORDS = 1 << 20;
const TYPES: ReadonlyMap<string, TarType> = new Map([
  ...(['0', '1', '2', '3', '4', '5', '6'] as const).map((type): [string, TarType] => [type, type]),
  ['\0', '0'], // of the oldest
  ['7', '0'],
]);

/** Reads an archive of GNU's tar, of POSIX (ustar, PAX) or of the oldest kind, entry by entry. @throws Fault `invalid` */
export async function* tarItems(body: AsyncIterable<Uint8Array>): AsyncGenerator<TarItem> {
  const bytes = new Bytes(body);
  /** What goes before an entry and says more of it. */
  let more: Partial<Pick<TarEntry, 'name' | 'target' | 'size' | 'modified' | 'uid' | 'gid'>> = {};
  for (;;) {
    const block = await bytes.take(BLOCK);
    if (block === undefined) throw noTar('it is cut off');
    const head = readHeader(block);
    if (head === undefined) break;
    if (head.type === 'L' || head.type === 'K') {
      const name = await kept(bytes, head, MAX_NAME);
      more = { ...more, [head.type === 'L' ? 'name' : 'target']: untilZero(name) };
    } else if (head.type === 'x') more = { ...more, ...recordsOf(await kept(bytes, head, MAX_RECORDS)) };
    else if (head.type === 'g') await kept(bytes, head, MAX_RECORDS);
    else {
      const type = TYPES.get(head.type);
      if (type === undefined)
        throw noTar(`an entry has the type "${head.type.replace(/[^ -~]/, '?')}", which is not known`);
      const entry: TarEntry = { ...head, ...more, type };
      more = {};
      // The oldest have a directory as a file with a slash at its end.
      const isDirectory = type === '0' && entry.name.at(-1) === 0x2f;
      const size = type === '0' ? entry.size : 0n;
      let left = size;
      async function* content(): AsyncGenerator<Uint8Array> {
        while (left > 0n) {
          const piece = await bytes.some(left > BigInt(MAX_NAME) ? MAX_NAME : Number(left));
          if (piece === undefined) throw noTar('it is cut off');
          left -= BigInt(piece.length);
          yield piece;
        }
      }
      yield { entry: { ...entry, size, ...(isDirectory && { type: '5' }) }, content };
      for await (const _ of content()); // nobody wanted it
      if ((await bytes.take(padding(size))) === undefined) throw noTar('it is cut off');
    }
  }
  await bytes.rest();
}

async function kept(bytes: Bytes, { size }: TarHead, most: number): Promise<Uint8Array> {
  if (size > BigInt(most)) throw noTar('what is said of an entry is too long');
  const all = await bytes.take(Number(size));
  if (all === undefined || (await bytes.take(padding(size))) === undefined) throw noTar('it is cut off');
  return all;
}

function untilZero(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** `LENGTH KEY=VALUE\n`, the length of all of it in decimal. */
function recordsOf(bytes: Uint8Array): Partial<TarEntry> {
  const all: { -readonly [K in keyof TarEntry]?: TarEntry[K] } = {};
  for (let at = 0; at < bytes.length; ) {
    const head = /^(\d{1,7}) ([^=\0]{1,200})=/.exec(Buffer.from(bytes.subarray(at, at + 220)).toString('latin1'));
    const length = Number(head?.[1]);
    if (!head || length <= head[0].length || at + length > bytes.length || bytes[at + length - 1] !== 0x0a)
      throw noTar('a record of PAX is broken');
    const value = bytes.subarray(at + head[0].length, at + length - 1);
    const number = /^-?\d{1,19}(?=\.\d+$|$)/.exec(Buffer.from(value).toString('latin1'))?.[0];
    const key = head[2];
    if (key === 'path') all.name = value;
    else if (key === 'linkpath') all.target = value;
    else if (number !== undefined && key === 'mtime') all.modified = BigInt(number);
    else if (number !== undefined && key === 'size' && BigInt(number) >= 0n) all.size = BigInt(number);
    else if (number !== undefined && (key === 'uid' || key === 'gid')) all[key] = Number(number);
    else if (key?.startsWith('GNU.sparse.')) throw noTar('an entry is sparse by PAX, which is not known here');
    at += length;
  }
  return all;
}

/** Bytes that come in pieces of any size. */
class Bytes {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#pieces = body[Symbol.asyncIterator]();
  }

  /** @returns at least one, at most so many; undefined at the end */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#pieces.next();
      if (next.done) return undefined;
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  /** @returns exactly so many; undefined where there are fewer */
  async take(count: number): Promise<Uint8Array | undefined> {
    const all: Uint8Array[] = [];
    for (let left = count; left > 0; ) {
      const piece = await this.some(left);
      if (piece === undefined) return undefined;
      all.push(piece);
      left -= piece.length;
    }
    return all.length === 1 ? all[0] : Buffer.concat(all);
  }

  /** What stands behind the end is nobody's. */
  async rest(): Promise<void> {
    while ((await this.some(MAX_NAME)) !== undefined);
  }
}
