import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { type TestImage, writeLayout } from '../../test/support/oci-layout.ts';
import { fileHeader } from '../../test/support/tar.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { ImageStore } from '../ports/images.ts';
import type { Ledger } from '../ports/ledger.ts';
import { UNPACK } from '../unpack/program.ts';
import { DEFAULT_BOUNDS } from './bounds.ts';
import { createImages } from './images.ts';
import type { ImagesOptions } from './images-options.ts';

const signal = new AbortController().signal;
const limits = { signal, timeoutMs: 20_000 };
const MB = 1 << 20;

let top: string;
let directory: string;
let ledger: Ledger;
const mounts: string[] = [];

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'fl-limits-'));
  directory = join(top, 'state');
  await mkdir(directory);
  ledger = memoryLedger();
});
afterEach(async () => {
  for (const mount of mounts.splice(0)) await run(['umount', mount], limits);
  await rm(top, { recursive: true, force: true });
});

const open = (more: Partial<ImagesOptions> = {}): ImageStore =>
  createImages({
    ...{ directory, imageRoots: [top], run, files, ledger, clock, log: memoryLog(), insecureRegistries: [] },
    ...more,
  });

const image = async (layers: TestImage['layers']): Promise<string> => {
  await writeLayout(join(top, 'layout'), { v1: { layers } });
  return `oci:${top}/layout:v1`;
};

const invalid = (message: RegExp) => ({
  ...{ kind: 'invalid', reason: 'ImageInvalid', terminal: true },
  message: expect.stringMatching(message),
});

async function expectNothingLeft(): Promise<void> {
  const left = (await readdir(directory, { recursive: true })).filter((n) => !/^(trees|golden|scratch)$/.test(n));
  expect(left).toEqual([]);
  expect(ledger.all()).toEqual([]);
}

describe('a layer that unpacks to far more than it is', () => {
  test('10 GB of zeros are refused for good long before they are on the disk', async () => {
    const zeros = gzipSync(Buffer.alloc(100 * MB), { level: 9 });
    const size = 10_000 * MB;
    const gzip = Buffer.concat([gzipSync(fileHeader('zeros', size)), ...Array(100).fill(zeros)]);
    const reference = await image([{ gzip }]);
    expect(gzip.length).toBeLessThan(11 * MB);
    let least = Number.POSITIVE_INFINITY;
    const before = await files.freeBytes(directory);
    const watching: typeof files = {
      ...files,
      async freeBytes(path) {
        const free = await files.freeBytes(path);
        least = Math.min(least, free);
        return free;
      },
    };
    const bounds = { ...DEFAULT_BOUNDS, maxRatio: 10, freeBytes: 50 * MB };
    await expect(open({ files: watching, bounds }).ensure(reference, { signal })).rejects.toMatchObject(
      invalid(/its layers of 1\d MB unpack to more than 1\d\d MB.*zeros/),
    );
    expect(before - least).toBeLessThan(4_000 * MB);
    await expectNothingLeft();
  });

  test('very many empty files are refused for good, and so are very many of one directory', async () => {
    const many = (prefix: string) => Array.from({ length: 1_200 }, (_, i) => ({ name: `${prefix}${i}` }));
    const reference = await image([many('f')]);
    await expect(
      open({ bounds: { ...DEFAULT_BOUNDS, maxInodes: 1_000 } }).ensure(reference, { signal }),
    ).rejects.toMatchObject(invalid(/holds more than 1000 files and directories/));
    await expectNothingLeft();
    await expect(
      open({ bounds: { ...DEFAULT_BOUNDS, maxInDirectory: 1_199 } }).ensure(reference, { signal }),
    ).rejects.toMatchObject(invalid(/its directory "\/" holds 1200 files, and 1199 are the most/));
    await expectNothingLeft();
    await open({ bounds: { ...DEFAULT_BOUNDS, maxInDirectory: 1_200 } }).ensure(reference, { signal });
  });
});

test('a device node is a node in the tree and the disk image, and nobody but root gets near it', async () => {
  const device = { name: 'disk', type: 'block device', device: [7, 99], mode: 0o666 } as const;
  const local = await open().ensure(await image([[device]]), { signal });
  expect((await files.stat(join(local.tree, 'disk')))?.kind).toBe('other');
  expect((await files.stat(join(directory, 'trees')))?.mode).toBe(0o700);
  const golden = await open().golden(local, { signal });
  expect(await run(['debugfs', '-R', 'stat /disk', golden.path], limits)).toMatch(/Type: block special/);
  await expect(open().bootFiles(local, { kernel: { filename: 'disk' } }, { signal })).rejects.toMatchObject({
    reason: 'KernelNotFound',
  });
});

describe('what a disk cannot hold is told at once, by name and size, whatever room there is', () => {
  test.each<[string, TestImage['layers'][number], RegExp]>([
    [
      'an attribute',
      [{ name: 'd/noted', xattrs: { 'user.big': 'x'.repeat(5_000) } }],
      /"d\/noted" has the attribute "user.big" of 5000 bytes/,
    ],
    [
      'many attributes',
      [
        {
          name: 'noted',
          xattrs: Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`user.${i}`, 'x'.repeat(90)])),
        },
      ],
      /"noted" has the attribute "user.\d+" of 90 bytes/,
    ],
    ['a name', [{ name: 'x', pax: { path: `d/${'n'.repeat(256)}` } }], /a name of 256 bytes, and 255/],
    [
      'a path',
      [{ name: 'x', pax: { path: 'dir/'.repeat(1_010) } }],
      /its path "dir.*" is of \d{4} bytes, and \d{4} are the most/,
    ],
    ['a target', [{ name: 'x', type: 'symlink', pax: { linkpath: 't'.repeat(4_096) } }], /target of 4096 bytes/],
    ['a device', [{ name: 'x', type: 'block device', device: [5_000, 1] }], /the device 5000:1/],
    ['an owner', [{ name: 'x', pax: { uid: '4294967296' } }], /the owner 4294967296/],
    [
      'names of one file',
      [
        { name: 'd0/x' },
        ...Array.from({ length: 65_001 }, (_, i) => ({
          name: `d${i % 10}/${i}`,
          type: 'hard link' as const,
          link: 'd0/x',
        })),
      ],
      /more than 65000 names/,
    ],
  ])('%s', async (_, layer, words) => {
    await expect(open().ensure(await image([layer]), { signal })).rejects.toMatchObject(invalid(words));
    await expectNothingLeft();
  });

  test('what just fits is held, by the tree and by the disk image', async () => {
    const xattrs = { 'user.a': 'x'.repeat(40), 'user.b': 'y'.repeat(4_030) };
    const local = await open().ensure(
      await image([
        [
          { name: 'noted', xattrs },
          { name: 'n'.repeat(100), pax: { path: 'n'.repeat(255) } },
        ],
      ]),
      { signal },
    );
    const golden = await open().golden(local, { signal });
    expect(await run(['debugfs', '-R', 'ea_list /noted', golden.path], limits)).toMatch(/user\.b \(4030\)/);
  });
});

describe('a disk that is full', () => {
  /** A small disk of its own, whose free space nobody looks at beforehand. */
  const onDisk = async (sizeInMb: number): Promise<ImageStore> => {
    await run(['mount', '-t', 'tmpfs', '-o', `size=${sizeInMb}m,mode=0700`, 'tmpfs', directory], limits);
    mounts.push(directory);
    return open({ files: { ...files, freeBytes: async () => 2 ** 40 }, keepFreeBytes: MB });
  };
  const full = (message: RegExp) => ({
    ...{ kind: 'full', reason: 'StorageFull', terminal: false },
    message: expect.stringMatching(message),
  });
  const packs = Buffer.alloc(30 * MB, randomBytes(16_384));

  test('ends a pull', async () => {
    const reference = await image([[{ name: 'data', data: randomBytes(30 * MB) }]]);
    const images = await onDisk(20);
    await expect(images.ensure(reference, { signal })).rejects.toMatchObject(full(/no space left on the disk/));
    await expectNothingLeft();
  });

  test('ends the unpacking', async () => {
    const reference = await image([[{ name: 'data', data: packs }]]);
    const images = await onDisk(20);
    await expect(images.ensure(reference, { signal })).rejects.toMatchObject(full(/no space left on the disk/));
    await expectNothingLeft();
  });

  test('ends it with inodes counted, too, before anything is written', async () => {
    const reference = await image([Array.from({ length: 300 }, (_, i) => ({ name: `d${i % 10}/f${i}` }))]);
    await run(['mount', '-t', 'tmpfs', '-o', 'size=50m,nr_inodes=200,mode=0700', 'tmpfs', directory], limits);
    mounts.push(directory);
    await expect(open({ keepFreeBytes: MB }).ensure(reference, { signal })).rejects.toMatchObject(
      full(/its files need 311 inodes, and the file system has 1\d\d left/),
    );
    await expectNothingLeft();
  });

  test('ends a disk image; the image stays, and with room the disk image is made', async () => {
    const reference = await image([[{ name: 'data', data: packs }]]);
    const images = await onDisk(45);
    const local = await images.ensure(reference, { signal });
    await expect(images.golden(local, { signal })).rejects.toMatchObject(
      full(
        /Cannot make a disk of .*: no space left on the disk: the file system of .* has \d+ KiB and \d+ inodes left/,
      ),
    );
    expect(await readdir(join(directory, 'golden'))).toEqual([]);
    expect(ledger.all().map(({ kind }) => kind)).toEqual(['image-tree']);
    await run(['mount', '-o', 'remount,size=120m', directory], limits);
    const golden = await images.golden(local, { signal });
    await run(['e2fsck', '-fn', golden.path], limits);
    expect((await readFile(join(local.tree, 'data'))).equals(packs)).toBe(true);
  });

  test('is told with what others have been promised, before anything is pulled', async () => {
    await writeLayout(join(top, 'layout'), {
      a: { layers: [[{ name: 'a', data: randomBytes(60 * MB) }]] },
      b: { layers: [[{ name: 'b', data: randomBytes(60 * MB) }]] },
    });
    const { promise: copying, resolve } = Promise.withResolvers<void>();
    const stop = new AbortController();
    const images = open({
      files: { ...files, freeBytes: async () => 100 * MB },
      keepFreeBytes: 10 * MB,
      run: async (argv, more) => {
        if (!argv.includes(UNPACK.at(-1) ?? '')) return run(argv, more);
        resolve();
        return run(['sleep', '60'], more);
      },
    });
    const first = images.ensure(`oci:${top}/layout:a`, { signal: stop.signal });
    await copying;
    await expect(images.ensure(`oci:${top}/layout:b`, { signal })).rejects.toMatchObject(
      full(
        /needs at least 61 MB \(layers of 61 MB.*\) and 10 MB must stay free; .* has 100 MB free, of which 61 MB are/,
      ),
    );
    stop.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    await images.settled();
    await expectNothingLeft();
  });
});
