import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import type { Run } from '../ports/host.ts';
import type { GoldenShape } from '../ports/images.ts';
import { makeDisk, roomySizeInMb } from './golden-disk.ts';

const MB = 2 ** 20;

/** A host whose tree has so much in it; `mke2fs` may fail as it is told. */
function host(
  tree: { bytes: number; inodes: number; mode?: string },
  fail: (argv: readonly string[]) => string | undefined,
) {
  const calls: (readonly string[])[] = [];
  const removed: string[] = [];
  const run: Run = async (argv) => {
    calls.push(argv);
    if (argv[0] === 'du') return `${argv.includes('--inodes') ? tree.inodes : tree.bytes}\t/t\n`;
    if (argv[0] === 'stat') return argv.includes('--format=%a') ? `${tree.mode ?? '755'}\n` : '3:4\n';
    const text = argv[0] === 'mke2fs' ? fail(argv) : undefined;
    if (text !== undefined) throw new Fault('tool', `mke2fs failed (exit status 1): ${text}`);
    return '';
  };
  const options = {
    ...{ run, signal: new AbortController().signal, timeoutMs: 1, what: 'image x' },
    remove: async (path: string) => void removed.push(path),
  };
  const sizes = () => calls.filter(([program]) => program === 'mke2fs').map((argv) => argv.at(-1));
  const makeShape = (shape: GoldenShape) => makeDisk('/t', '/g', shape, options);
  const make = (sizeInMb?: number) => makeShape(sizeInMb === undefined ? {} : { sizeInMb });
  return { calls, removed, sizes, make, makeShape };
}

const small = { bytes: 10 * MB, inodes: 100 };

test('without a size there is room for the files and some more', async () => {
  const { make, sizes, calls } = host(small, () => undefined);
  const size = await make();
  expect(size).toBe(roomySizeInMb(small));
  expect(size).toBeGreaterThan(40);
  expect(sizes()).toEqual([`${size}m`]);
  expect(calls.flat()).toContain('assume_storage_prezeroed=1,root_owner=3:4');
  expect(calls.flat()).not.toContain('-N');
  expect(calls.flat()).not.toContain('debugfs');
});

test('what did not fit is tried again with more room, a few times', async () => {
  let failures = 2;
  const { make, sizes, removed } = host(small, () => (failures-- > 0 ? 'Could not allocate block in ext2' : undefined));
  const size = await make();
  expect(sizes()).toHaveLength(3);
  expect(size).toBeGreaterThan(2 * roomySizeInMb(small));
  expect(removed).toEqual(['/g', '/g']);
  const hopeless = host(small, () => 'Could not allocate block in ext2');
  await expect(hopeless.make()).rejects.toThrow('Could not allocate');
  expect(hopeless.sizes()).toHaveLength(5);
});

test('a size that was asked for is tried once', async () => {
  const { make, sizes } = host(small, () => 'Could not allocate block in ext2');
  await expect(make(12)).rejects.toMatchObject({ kind: 'refused', reason: 'VolumeTooSmall' });
  expect(sizes()).toEqual(['12m']);
});

test('another failure is no matter of size', async () => {
  const { make, sizes } = host(small, () => 'Input/output error');
  await expect(make()).rejects.toThrow('Input/output error');
  expect(sizes()).toHaveLength(1);
});

test('many files get inodes, and a root with a mode of its own keeps it', async () => {
  const { make, calls } = host({ bytes: 10 * MB, inodes: 50_000, mode: '1777' }, () => undefined);
  await make();
  expect(calls.flat()).toContain('-N');
  expect(calls.at(-1)).toEqual(['debugfs', '-w', '-R', 'set_inode_field <2> mode 041777', '/g']);
});

test('an older mke2fs gets the options that it knows', async () => {
  const { make, calls } = host(small, (argv) =>
    argv.join().includes('assume') ? 'Bad option(s) specified: assume_storage_prezeroed=1' : undefined,
  );
  await make();
  expect(calls.flat()).toContain('lazy_itable_init=1,lazy_journal_init=1,root_owner=3:4');
});

test('a partition has a margin on both sides, and its file system fills it', async () => {
  const { makeShape, sizes, calls } = host({ ...small, mode: '1777' }, () => undefined);
  expect(await makeShape({ sizeInMb: 100, partitionUuid: 'ab-cd' })).toBe(100);
  expect(sizes()).toEqual(['98m']);
  expect(calls).toContainEqual(['truncate', '--size=100M', '/g']);
  expect(calls.flat()).toContain('assume_storage_prezeroed=1,root_owner=3:4,offset=1048576');
  expect(calls.at(-1)).toEqual(['debugfs', '-w', '-R', 'set_inode_field <2> mode 041777', '/g?offset=1048576']);
});

test('without a size the partition table is extra', async () => {
  const { makeShape } = host(small, () => undefined);
  expect(await makeShape({ partitionUuid: 'ab-cd' })).toBe(roomySizeInMb(small) + 2);
});

test('a disk with no room beside the partition table is too small', async () => {
  const { makeShape } = host(small, () => undefined);
  await expect(makeShape({ sizeInMb: 2, partitionUuid: 'ab-cd' })).rejects.toMatchObject({
    reason: 'VolumeTooSmall',
    terminal: true,
  });
});
