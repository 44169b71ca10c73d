import { Fault } from '../domain/fault.ts';
import type { Run } from '../ports/host.ts';
import type { GoldenShape } from '../ports/images.ts';

const MB = 2 ** 20;
/** Also below 512 MiB, where mke2fs would take 1 KiB: a copy of the image may grow. */
const BLOCK_BYTES = 4096;
/** mke2fs.conf(5): `inode_size`. */
const INODE_BYTES = 256;
/** Tries for an image whose size is ours to choose. */
const MAX_TRIES = 5;

/** What a tree holds, as du(1) counts it: a hard link once, holes not. */
export interface TreeSize {
  readonly bytes: number;
  readonly inodes: number;
}

export interface Ext4Options {
  readonly run: Run;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

export async function measureTree(tree: string, { run, signal, timeoutMs }: Ext4Options): Promise<TreeSize> {
  const first = async (...flags: string[]): Promise<number> => {
    const out = await run(['du', '--summarize', ...flags, '--', tree], { signal, timeoutMs });
    const value = Number.parseInt(out, 10);
    if (!Number.isSafeInteger(value)) throw new Fault('tool', `Cannot measure ${tree}: du said "${out.slice(0, 80)}"`);
    return value;
  };
  return { bytes: await first('--block-size=1'), inodes: await first('--inodes') };
}

/**
 * The size that an ext4 file system needs for so much, in MiB, rounded up.
 * Tried with mke2fs 1.47 on six trees of 1 to 680 MB and 300 to 15,000 files: each fitted, and above 100 MB none into
 * less than 9/10 of it.
 */
export function leastSizeInMb({ bytes, inodes }: TreeSize): number {
  const files = bytes * 1.1 + inodesFor({ bytes, inodes }) * INODE_BYTES;
  return Math.ceil(files / MB) + journalMb(files / MB) + 1;
}

/** With room for the guest to write in: a fifth more, and 32 MiB. */
export const roomySizeInMb = (size: TreeSize): number => Math.ceil(leastSizeInMb(size) * 1.2) + 32;

/** mke2fs's own choice by size. @see ext2fs_default_journal_size() in e2fsprogs' lib/ext2fs/mkjournal.c */
const journalMb = (mb: number): number => (mb < 128 ? 4 : mb < 1024 ? 16 : mb < 2048 ? 32 : mb < 16_384 ? 64 : 256);

/** A quarter more than there are, and those that ext4 keeps for itself. */
const inodesFor = ({ inodes }: TreeSize): number => Math.ceil(inodes * 1.25) + 256;

/** What mke2fs makes by itself. @see mke2fs.conf(5): `small` is below 512 MiB */
const defaultInodes = (sizeInMb: number): number => (sizeInMb * MB) / (sizeInMb < 512 ? 4096 : 16_384);

/** Before the partition of a GPT disk, and behind it: the table and its copy need less (UEFI 2.10, 5.3). */
const GPT_MARGIN_MB = 1;

/**
 * Makes a file at `path`, which must not be there, with an ext4 file system
 * that holds the tree: owners, modes, times, hard links, device nodes and
 * extended attributes as they are. It is sparse.
 *
 * @returns the size of the whole disk in MiB
 * @throws Fault `refused` VolumeTooSmall when it does not fit into `sizeInMb`
 */
export async function makeDisk(
  tree: string,
  path: string,
  { sizeInMb, partitionUuid }: GoldenShape,
  options: Ext4Options & { readonly remove: (path: string) => Promise<void>; readonly what: string },
): Promise<number> {
  const size = await measureTree(tree, options);
  const beside = partitionUuid === undefined ? 0 : 2 * GPT_MARGIN_MB;
  let tried = sizeInMb ?? roomySizeInMb(size) + beside;
  for (let attempt = 1; ; attempt++) {
    try {
      if (tried <= beside)
        throw new Fault('tool', 'Not enough space to build a file system beside the partition table');
      const place: Place = { path, sizeInMb: tried - beside, offset: beside === 0 ? 0 : GPT_MARGIN_MB * MB };
      if (partitionUuid !== undefined) await makeTable(path, tried, partitionUuid, options);
      await mke2fs(tree, place, size, options);
      await copyRootMode(tree, place, options);
      return tried;
    } catch (error) {
      if (!doesNotFit(error)) throw error;
      await options.remove(path);
      if (sizeInMb !== undefined)
        throw tooSmall(options.what, sizeInMb, Math.max(leastSizeInMb(size) + beside, sizeInMb + 1), size, error);
      if (attempt === MAX_TRIES) throw error;
      tried = Math.ceil(tried * 1.5);
    }
  }
}

/** Where a file system lies in a file. */
interface Place {
  readonly path: string;
  readonly sizeInMb: number;
  /** Bytes. */
  readonly offset: number;
}

/** A GPT disk with one Linux partition, between the margins. It needs no loop device. @see sfdisk(8) */
async function makeTable(
  path: string,
  sizeInMb: number,
  uuid: string,
  { run, signal, timeoutMs }: Ext4Options,
): Promise<void> {
  const sectors = (mb: number): number => (mb * MB) / 512;
  const partition = [
    `start=${sectors(GPT_MARGIN_MB)}`,
    `size=${sectors(sizeInMb - 2 * GPT_MARGIN_MB)}`,
    'type=linux',
    `uuid=${uuid.toUpperCase()}`,
  ];
  await run(['truncate', `--size=${sizeInMb}M`, path], { signal, timeoutMs });
  const input = `label: gpt\n${partition.join(', ')}\n`;
  await run(['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', path], { signal, timeoutMs, input });
}

async function mke2fs(
  tree: string,
  { path, sizeInMb, offset }: Place,
  size: TreeSize,
  { run, signal, timeoutMs }: Ext4Options,
): Promise<void> {
  const inodes = inodesFor(size);
  const owner = (await run(['stat', '--format=%u:%g', '--', tree], { signal, timeoutMs })).trim();
  const at = offset === 0 ? '' : `,offset=${offset}`;
  const make = (extended: string): Promise<string> =>
    run(
      [
        'mke2fs',
        ...['-q', '-F', '-t', 'ext4', '-b', String(BLOCK_BYTES)],
        ...['-m', '1'], // of the room 1 % is kept for root, not 5
        ...(inodes > defaultInodes(sizeInMb) ? ['-N', String(inodes)] : []),
        ...['-E', `${extended},root_owner=${owner}${at}`, '-d', tree, path, `${sizeInMb}m`],
      ],
      { signal, timeoutMs },
    );
  try {
    // The new file is all zeros: nothing need be written to it, and no guest need do it later, in every copy.
    await make('assume_storage_prezeroed=1');
  } catch (error) {
    if (!(error instanceof Fault && /Bad option\(s\) specified/.test(error.message))) throw error;
    await make('lazy_itable_init=1,lazy_journal_init=1'); // e2fsprogs below 1.46.6
  }
}

/** mke2fs copies all but the mode of the tree's own directory. */
async function copyRootMode(
  tree: string,
  { path, offset }: Place,
  { run, signal, timeoutMs }: Ext4Options,
): Promise<void> {
  const mode = (await run(['stat', '--format=%a', '--', tree], { signal, timeoutMs })).trim();
  if (mode === '755') return;
  const request = `set_inode_field <2> mode 0${(0o040_000 | Number.parseInt(mode, 8)).toString(8)}`;
  const at = offset === 0 ? '' : `?offset=${offset}`;
  await run(['debugfs', '-w', '-R', request, `${path}${at}`], { signal, timeoutMs });
}

function doesNotFit(error: unknown): boolean {
  return (
    error instanceof Fault &&
    error.kind === 'tool' &&
    /Could not allocate (block|inode)|Not enough space to build|too big for a\s+filesystem|Filesystem too small/i.test(
      error.message,
    )
  );
}

function tooSmall(what: string, sizeInMb: number, needed: number, size: TreeSize, cause: unknown): Fault {
  const files = `${Math.ceil(size.bytes / MB)} MB in ${size.inodes} files`;
  return new Fault(
    'refused',
    `Cannot make a volume of ${sizeInMb} MB from ${what}: it holds ${files} and needs about ${needed} MB; raise size_in_mb or leave it out`,
    { reason: 'VolumeTooSmall', cause },
  );
}
