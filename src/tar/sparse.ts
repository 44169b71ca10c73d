import { BadTar } from './bad-tar.ts';
import type { Bytes, Sparse } from './entry.ts';
import { headerNumber, paxNumber } from './numbers.ts';

/** More pieces than any file of use has; a map is held in memory. */
const MAX_PARTS = 100_000;

/** GNU tar's old form: pieces in the header, and in blocks behind it. @see "struct oldgnu_header" in GNU tar's tar.h */
export async function sparseFromHeader(
  header: Buffer,
  nextBlock: () => Promise<Buffer>,
  dataBytes: number,
): Promise<Sparse> {
  const numbers: number[] = [];
  const take = (block: Buffer, at: number, count: number): void => {
    for (let i = 0; i < count * 2; i++) numbers.push(headerNumber(block.subarray(at + i * 12, at + (i + 1) * 12)));
  };
  take(header, 386, 4);
  let hasMore = header[482] !== 0;
  while (hasMore) {
    const block = await nextBlock();
    take(block, 0, 21);
    hasMore = block[504] !== 0;
    requireFew(numbers.length / 2);
  }
  return checked(headerNumber(header.subarray(483, 495)), numbers, dataBytes);
}

/** Pax 1.0: decimal lines in the data's first blocks: how many pieces, then offset and length of each. */
export async function readSparseMap(
  pax: ReadonlyMap<Bytes, Bytes>,
  nextBlock: () => Promise<Buffer>,
  dataBytes: () => number,
): Promise<Sparse> {
  let text = '';
  let lines: string[] = [];
  let wanted = 1;
  while (lines.length < wanted) {
    text += (await nextBlock()).toString('latin1');
    const end = text.lastIndexOf('\n');
    if (end >= 0) {
      lines = lines.concat(text.slice(0, end).split('\n'));
      text = text.slice(end + 1);
    }
    if (wanted === 1 && lines[0] !== undefined) {
      const count = paxNumber('GNU.sparse', lines[0]);
      requireFew(count);
      wanted = 1 + 2 * count;
    }
    // What fills the last block is behind the last line.
    if (lines.length < wanted && text.length > 64) throw bad();
  }
  const numbers = lines.slice(1, wanted).map((line) => paxNumber('GNU.sparse', line));
  return checked(paxNumber('GNU.sparse.realsize', pax.get('GNU.sparse.realsize') ?? ''), numbers, dataBytes());
}

/** Pax 0.0, where records come again and again, and 0.1, where one has the whole map. */
export function sparseFromRecords(
  records: readonly (readonly [Bytes, Bytes])[],
  pax: ReadonlyMap<Bytes, Bytes>,
  dataBytes: number,
): Sparse | undefined {
  const size = pax.get('GNU.sparse.size');
  if (size === undefined) return undefined;
  const map = pax.get('GNU.sparse.map');
  const texts =
    map === undefined
      ? records.flatMap(([key, value]) => (/^GNU\.sparse\.(offset|numbytes)$/.test(key) ? [value] : []))
      : map === ''
        ? []
        : map.split(',');
  requireFew(texts.length / 2);
  return checked(
    paxNumber('GNU.sparse.size', size),
    texts.map((text) => paxNumber('GNU.sparse.map', text)),
    dataBytes,
  );
}

const bad = (): Error => new BadTar('has a sparse file whose map is none');

function requireFew(parts: number): void {
  if (!(parts >= 0 && parts <= MAX_PARTS)) throw new BadTar(`has a sparse file of more than ${MAX_PARTS} pieces`);
}

/** Pieces of no bytes only say where the file ends. */
function checked(size: number, numbers: readonly number[], dataBytes: number): Sparse {
  const parts: [number, number][] = [];
  let end = 0;
  let sum = 0;
  if (numbers.length % 2 !== 0 || !Number.isSafeInteger(size) || size < 0) throw bad();
  for (let i = 0; i < numbers.length; i += 2) {
    const [offset = -1, length = -1] = [numbers[i], numbers[i + 1]];
    if (offset === 0 && length === 0) continue;
    if (!(offset >= end && length >= 0 && offset + length <= size)) throw bad();
    end = offset + length;
    sum += length;
    if (length > 0) parts.push([offset, length]);
  }
  if (sum !== dataBytes) throw bad();
  return { size, parts };
}
