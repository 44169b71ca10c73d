import { type BigIntStats, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { type Known, NONE } from './host-extended.ts';
import type { Entry, FileType, Piece } from './tree.ts';

/** As Linux numbers devices: makedev(3). */
const majorOf = (device: bigint): number =>
  Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn & 0xffffffffn));
const minorOf = (device: bigint): number => Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n));

function typeOf(stats: BigIntStats): FileType {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isCharacterDevice()) return 'character';
  if (stats.isBlockDevice()) return 'block';
  return stats.isSocket() ? 'socket' : 'other';
}

const BILLION = 1_000_000_000n;

export function entryOf(
  name: Uint8Array,
  stats: BigIntStats,
  { target = new Uint8Array(), known: { extended, lack } = NONE }: { target?: Uint8Array; known?: Known } = {},
): Entry {
  const nanos = ((stats.mtimeNs % BILLION) + BILLION) % BILLION;
  return {
    ...{ name, type: typeOf(stats), target, mode: Number(stats.mode & 0o7777n) },
    ...{ uid: Number(stats.uid), gid: Number(stats.gid), size: stats.size, allocated: stats.blocks * 512n },
    ...{ links: stats.nlink, id: `${stats.dev}:${stats.ino}` },
    ...{ major: majorOf(stats.rdev), minor: minorOf(stats.rdev) },
    ...{ extended, extendedLack: lack },
    modified: { seconds: (stats.mtimeNs - nanos) / BILLION, nanos: Number(nanos) },
  };
}

/** What is longer may wait for a disk, and what comes next is read meanwhile. */
const AT_ONCE_BYTES = 16 << 10;

/** @returns how much of it was written */
export async function written(handle: FileHandle, bytes: Uint8Array, at: number): Promise<number> {
  if (bytes.length <= AT_ONCE_BYTES) return writeSync(handle.fd, bytes, 0, bytes.length, at);
  return (await handle.write(bytes, 0, bytes.length, at)).bytesWritten;
}

const PIECE_BYTES = 128 << 10;
const ZEROS = Buffer.alloc(PIECE_BYTES);

/** What is in a file that was opened: as long as it was then, or of one without a size, as in /proc, all that there is. */
export async function* contentOf(
  handle: FileHandle,
  signal: AbortSignal,
  onChanged: () => void,
): AsyncGenerator<Piece> {
  const before = await handle.stat({ bigint: true });
  if (!before.isFile()) throw new Error('it is no regular file any more');
  // Which of it are holes only its bytes tell here.
  const isSparse = before.blocks * 512n < before.size;
  const end = before.size > 0n ? Number(before.size) : Number.POSITIVE_INFINITY;
  let hole = 0n;
  for (let at = 0; at < end; ) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, Math.min(PIECE_BYTES, end - at), at);
    if (bytesRead === 0) break;
    at += bytesRead;
    const bytes = buffer.subarray(0, bytesRead);
    if (isSparse && bytes.equals(ZEROS.subarray(0, bytesRead))) {
      hole += BigInt(bytesRead);
      continue;
    }
    if (hole > 0n) yield { hole };
    hole = 0n;
    yield bytes;
  }
  if (hole > 0n) yield { hole };
  const after = await handle.stat({ bigint: true });
  if (after.size !== before.size || after.mtimeNs !== before.mtimeNs || after.ctimeNs !== before.ctimeNs) onChanged();
}
