import { execFileSync } from 'node:child_process';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { decompressLz4 } from './lz4.ts';

/** How kernels and their modules come packed (CONFIG_KERNEL_*, CONFIG_MODULE_COMPRESS_*). */
export type Packing = 'gzip' | 'xz' | 'zstd' | 'lz4' | 'lzma' | 'bzip2' | 'lzo' | 'none';

/** First bytes. LZMA has no magic: properties, a dictionary of a whole number of 64 KiB, below 4 GiB. */
const BEGINNINGS: readonly (readonly [Packing, RegExp])[] = [
  ['gzip', /^1f8b08/],
  ['xz', /^fd377a585a00/],
  ['zstd', /^28b52ffd/],
  ['lz4', /^(02214c18|04224d18)/],
  ['lzma', /^5d0000.{4}(?:f{16}|.{8}0{8})/],
  ['bzip2', /^425a68/],
  ['lzo', /^894c5a4f000d0a1a/],
];

/** @param bytes - at least the first 13 */
export function packingOf(bytes: Uint8Array): Packing {
  const first = Buffer.from(bytes.subarray(0, 16)).toString('hex');
  return BEGINNINGS.find(([, pattern]) => pattern.test(first))?.[0] ?? 'none';
}

/**
 * Unpacks what is packed in one of the ways above, told by its first bytes;
 * what is not comes back as it is.
 *
 * @param limit - bytes that come out at most
 * @throws Error that names the packing, with the tool's words where a tool does it
 */
export function unpack(bytes: Uint8Array, limit: number): Uint8Array {
  const packing = packingOf(bytes);
  try {
    return UNPACK[packing](bytes, limit);
  } catch (cause) {
    throw new Error(`Cannot unpack ${packing}: ${wordsOf(cause)}`, { cause });
  }
}

const UNPACK: Readonly<Record<Packing, (bytes: Uint8Array, limit: number) => Uint8Array>> = {
  none: (bytes) => bytes,
  gzip: (bytes, maxOutputLength) => gunzipSync(bytes, { maxOutputLength }),
  zstd: (bytes, maxOutputLength) => zstdDecompressSync(bytes, { maxOutputLength }),
  lz4: decompressLz4,
  // Not busybox's: it knows no filters, and kernels are packed with one.
  xz: byTool('xz', '--format=xz', '-dc'),
  lzma: byTool('xz', '--format=lzma', '-dc'),
  bzip2: byTool('busybox', 'bzip2', '-dc'),
  lzo: byTool('busybox', 'lzop', '-dc'),
};

function byTool(program: string, ...args: readonly string[]) {
  return (input: Uint8Array, maxBuffer: number): Uint8Array =>
    execFileSync(program, args, { input, maxBuffer, stdio: ['pipe', 'pipe', 'pipe'] });
}

function wordsOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if ('code' in cause && cause.code === 'ENOENT' && 'path' in cause) return `there is no program ${cause.path}`;
  const said =
    'stderr' in cause && cause.stderr instanceof Uint8Array ? Buffer.from(cause.stderr).toString().trim() : '';
  return said === '' ? cause.message : said;
}
