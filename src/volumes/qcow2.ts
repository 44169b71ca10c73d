import { Fault } from '../domain/fault.ts';
import type { FilePiece } from '../ports/host.ts';

/** A file of which only the pieces take room on the disk. */
export interface SparseFile {
  readonly sizeBytes: number;
  readonly pieces: readonly FilePiece[];
}

const CLUSTER_BITS = 16;
const CLUSTER = 2 ** CLUSTER_BITS;
/** Of the version 3 without what came later, which needs no byte more. */
const HEADER_BYTES = 104;
const REFCOUNT_BITS_LOG2 = 4;
/** A cluster of references to clusters of 8-byte entries, each of a cluster of data. */
const DATA_PER_L1_ENTRY = CLUSTER * (CLUSTER / 8);
/** What an entry of the table of refcounts counts, and so what one block of it is enough for. */
const CLUSTERS_PER_BLOCK = CLUSTER / 2;
const MAX_BACKING_BYTES = 1_023;

const END = 0;
const BACKING_FORMAT = 0xe2792aca;

/**
 * An empty overlay of qcow2 over a raw image: every byte is the image's until it is written.
 *
 * The image's format is said in it, never probed: a guest could write a header that names a file of the host.
 *
 * @param sizeBytes - of the disk; a multiple of 512
 * @throws Fault `refused` where the format has no room for the image's path or for the size
 * @see https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function overlayOf(backing: string, sizeBytes: number): SparseFile {
  const name = Buffer.from(backing);
  if (name.length > MAX_BACKING_BYTES)
    throw new Fault(
      'refused',
      `Cannot lay a qcow2 overlay over ${backing}: its path is longer than ${MAX_BACKING_BYTES} bytes`,
    );
  const l1Entries = Math.ceil(sizeBytes / DATA_PER_L1_ENTRY);
  const l1Clusters = Math.ceil((l1Entries * 8) / CLUSTER);
  // The header, the table of refcounts, its one block, the first level of references.
  const [header, refcounts, block, l1, end] = [0, 1, 2, 3, 3 + l1Clusters] as const;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % 512 !== 0 || end > CLUSTERS_PER_BLOCK)
    throw new Fault('refused', `Cannot make a qcow2 overlay of ${sizeBytes} bytes`);

  const extensions = Buffer.concat([extension(BACKING_FORMAT, 'raw'), extension(END, '')]);
  const head = Buffer.alloc(HEADER_BYTES);
  head.write('QFI\xfb', 'latin1');
  head.writeUInt32BE(3, 4);
  head.writeBigUInt64BE(BigInt(HEADER_BYTES + extensions.length), 8);
  head.writeUInt32BE(name.length, 16);
  head.writeUInt32BE(CLUSTER_BITS, 20);
  head.writeBigUInt64BE(BigInt(sizeBytes), 24);
  head.writeUInt32BE(l1Entries, 36);
  head.writeBigUInt64BE(BigInt(l1 * CLUSTER), 40);
  head.writeBigUInt64BE(BigInt(refcounts * CLUSTER), 48);
  head.writeUInt32BE(1, 56);
  head.writeUInt32BE(REFCOUNT_BITS_LOG2, 96);
  head.writeUInt32BE(HEADER_BYTES, 100);

  const table = Buffer.alloc(8);
  table.writeBigUInt64BE(BigInt(block * CLUSTER));
  const counts = Buffer.alloc(end * 2);
  for (let cluster = 0; cluster < end; cluster++) counts.writeUInt16BE(1, cluster * 2);
  return {
    sizeBytes: end * CLUSTER,
    pieces: [
      { at: header * CLUSTER, bytes: Buffer.concat([head, extensions, name]) },
      { at: refcounts * CLUSTER, bytes: table },
      { at: block * CLUSTER, bytes: counts },
    ],
  };
}

/** Type, length, and the words filled up to eight bytes. */
function extension(type: number, words: string): Buffer {
  const buffer = Buffer.alloc(8 + Math.ceil(words.length / 8) * 8);
  buffer.writeUInt32BE(type, 0);
  buffer.writeUInt32BE(words.length, 4);
  buffer.write(words, 8, 'latin1');
  return buffer;
}
