import { type Bytes, hasAt } from './bytes.ts';

const HEADER_BYTES = 110;
const WINDOW_BYTES = 1 << 16;
const MAX_NAME_BYTES = 4096;
/** Distributions' largest hold some ten thousand. */
const MAX_ENTRIES = 1_000_000;
const TRAILER = 'TRAILER!!!\0';

/** The two kinds of cpio that Linux unpacks: `newc`, with checksums or without. */
export const isCpio = (head: Uint8Array): boolean => hasAt(head, 0, '070701') || hasAt(head, 0, '070702');

/** And those that cpio(1) writes when it is not asked for `newc`. */
export const isOldCpio = (head: Uint8Array): boolean => hasAt(head, 0, '070707') || hasAt(head, 0, [0xc7, 0x71]);

/**
 * Walks an archive from its beginning, header by header.
 * @returns where it ends, behind the zeros that fill it up; or what is wrong
 * @see Documentation/driver-api/early-userspace/buffer-format.rst in Linux
 */
export async function endOfCpio(
  bytes: Bytes,
  start: number,
  signal: AbortSignal,
): Promise<number | { readonly wrong: string }> {
  let window: Uint8Array = new Uint8Array(0);
  let windowAt = 0;
  const at = async (offset: number, length: number): Promise<Uint8Array> => {
    if (offset < windowAt || offset + length > windowAt + window.length) {
      signal.throwIfAborted();
      windowAt = offset;
      window = await bytes.read(offset, Math.max(length, WINDOW_BYTES));
    }
    return window.subarray(offset - windowAt, offset - windowAt + length);
  };
  const cutOff = { wrong: `is a cpio archive that was cut off: it ends at byte ${bytes.size} without a trailer` };
  let here = start;
  for (let entries = 0; entries < MAX_ENTRIES; entries++) {
    const header = await at(here, HEADER_BYTES);
    if (header.length < HEADER_BYTES) return cutOff;
    const [dataBytes, nameBytes] = isCpio(header) ? [field(header, 6), field(header, 11)] : [];
    if (dataBytes === undefined || nameBytes === undefined || nameBytes < 1 || nameBytes > MAX_NAME_BYTES)
      return { wrong: `is a cpio archive that is broken at byte ${here}` };
    const name = await at(here + HEADER_BYTES, nameBytes);
    here = start + padded(here - start + HEADER_BYTES + nameBytes) + padded(dataBytes);
    if (here > bytes.size + 3 || name.length < nameBytes) return cutOff;
    if (hasAt(name, 0, TRAILER)) return await behindZeros(here, at, bytes.size);
  }
  return { wrong: `is a cpio archive with more than ${MAX_ENTRIES} entries` };
}

async function behindZeros(
  from: number,
  at: (offset: number, length: number) => Promise<Uint8Array>,
  size: number,
): Promise<number> {
  for (let here = from; here < size; ) {
    const piece = await at(here, Math.min(WINDOW_BYTES, size - here));
    const other = piece.findIndex((byte) => byte !== 0);
    if (other >= 0) return here + other;
    if (piece.length === 0) break;
    here += piece.length;
  }
  return size;
}

const padded = (bytes: number): number => Math.ceil(bytes / 4) * 4;

/** Eight hexadecimal digits. */
function field(header: Uint8Array, index: number): number | undefined {
  const text = Buffer.from(header.subarray(6 + index * 8, 14 + index * 8)).toString('latin1');
  return /^[0-9A-Fa-f]{8}$/.test(text) ? Number.parseInt(text, 16) : undefined;
}
