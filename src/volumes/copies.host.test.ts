import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { DiskFormat } from '../domain/capabilities.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import { chooseVolumes } from './copies.ts';

const exec = promisify(execFile);
const signal = new AbortController().signal;
const MB = 2 ** 20;

let directory: string;
let golden: { path: string; sizeInMb: number };

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fl-volumes-'));
  golden = { path: join(directory, 'golden.ext4'), sizeInMb: 64 };
  const file = await open(golden.path, 'w');
  await file.truncate(64 * MB);
  await file.write('data', 10 * MB);
  await file.close();
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const BOTH: readonly DiskFormat[] = ['qcow2', 'raw'];
const RAW: readonly DiskFormat[] = ['raw'];
const choose = () => chooseVolumes({ directory, files, log: memoryLog(), signal });

/** What a guest would see, in a raw file. */
async function readAt(path: string, format: string, at: number): Promise<string> {
  const raw = `${path}.seen`;
  await exec('qemu-img', ['convert', '-f', format, '-O', 'raw', path, raw]);
  const bytes = await readFile(raw);
  await rm(raw);
  expect(bytes.length).toBe(64 * MB);
  return bytes.subarray(at, at + 4).toString();
}

// tmpdir is on ext4 or tmpfs where this runs as a rule, but it need not be.
test('the probe leaves nothing, and says what there is', async () => {
  const before = await readdir(directory);
  const volumes = await choose();
  const cheap = volumes.kindFor(BOTH);
  expect(['reflink', 'qcow2']).toContain(cheap);
  // Each VMM gets what it takes, on the same host.
  expect(volumes.kindFor(RAW)).toBe(cheap === 'reflink' ? 'reflink' : 'sparse');
  expect(await readdir(directory)).toEqual(before);
});

describe.each([{ formats: BOTH }, { formats: RAW }])('for a VMM that takes $formats', ({ formats }) => {
  test('a copy has what the image has, costs little, and twice is once', async () => {
    const volumes = await choose();
    const path = volumes.pathFor(directory, 0, formats);
    const disk = await volumes.make(golden, path, signal);
    expect(disk).toMatchObject({ path, sizeInMb: 64 });
    expect(await readAt(path, disk.format, 10 * MB)).toBe('data');
    expect((await stat(path)).blocks * 512).toBeLessThan(MB);
    const { ino } = await stat(path);
    expect(await volumes.make(golden, path, signal)).toEqual(disk);
    expect((await stat(path)).ino).toBe(ino);
  });

  test('what one writes the other does not see, nor the image', async () => {
    const volumes = await choose();
    const one = await volumes.make(golden, volumes.pathFor(directory, 0, formats), signal);
    const two = await volumes.make(golden, volumes.pathFor(directory, 1, formats), signal);
    expect(one.path).not.toBe(two.path);
    await exec('qemu-io', ['-f', one.format, '-c', 'write -P 0x41 10M 512', one.path]);
    expect(await readAt(one.path, one.format, 10 * MB)).toBe('AAAA');
    expect(await readAt(two.path, two.format, 10 * MB)).toBe('data');
    expect((await readFile(golden.path)).subarray(10 * MB, 10 * MB + 4).toString()).toBe('data');
  });

  test('what a crash left half is made anew, and removed', async () => {
    const volumes = await choose();
    const path = volumes.pathFor(directory, 0, formats);
    await writeFile(`${path}.partial`, 'half');
    const disk = await volumes.make(golden, path, signal);
    expect(await readAt(path, disk.format, 10 * MB)).toBe('data');
    await writeFile(`${path}.partial`, 'half');
    await volumes.remove(path, signal);
    await volumes.remove(path, signal);
    expect(await readdir(directory)).toEqual(['golden.ext4']);
  });

  test('an abort leaves nothing', async () => {
    const volumes = await choose();
    const aborted = AbortSignal.abort(new Error('enough'));
    await expect(volumes.make(golden, volumes.pathFor(directory, 0, formats), aborted)).rejects.toThrow('enough');
    expect(await readdir(directory)).toEqual(['golden.ext4']);
  });

  test('without its image there is no copy, and nothing is left', async () => {
    const volumes = await choose();
    const gone = { ...golden, path: join(directory, 'gone') };
    await expect(volumes.make(gone, volumes.pathFor(directory, 0, formats), signal)).rejects.toMatchObject({
      name: 'Fault',
      message: expect.stringContaining('gone'),
    });
    expect(await readdir(directory)).toEqual(['golden.ext4']);
  });
});

test('an overlay names its image as raw, so that nothing is probed', async () => {
  const volumes = await chooseVolumes({
    directory,
    files: { ...files, copy: (from, to, _how, stop) => files.copy(from, to, 'reflink', stop) },
    log: memoryLog(),
    signal,
  });
  if (volumes.kindFor(BOTH) !== 'qcow2') return; // a file system with reflinks
  const path = volumes.pathFor(directory, 0, BOTH);
  expect(await volumes.make(golden, path, signal)).toEqual({
    ...{ path, format: 'qcow2', backing: golden.path, sizeInMb: 64 },
  });
  const info = JSON.parse((await exec('qemu-img', ['info', '--output=json', path])).stdout);
  expect(info).toMatchObject({
    format: 'qcow2',
    'virtual-size': 64 * MB,
    'backing-filename': golden.path,
    'backing-filename-format': 'raw',
  });
});

test('a disk that is full ends a whole copy with nothing left, and with room it is made', async () => {
  const mount = join(directory, 'small');
  const limits = { signal, timeoutMs: 20_000 };
  await mkdir(mount);
  await run(['mount', '-t', 'tmpfs', '-o', 'size=6m,mode=0700', 'tmpfs', mount], limits);
  try {
    const image = join(mount, 'golden.img');
    await writeFile(image, Buffer.alloc(4 << 20, 'x'));
    const volumes = await chooseVolumes({ directory: mount, files, log: memoryLog(), signal });
    expect(volumes.kindFor(RAW)).toBe('sparse');
    const path = volumes.pathFor(mount, 0, RAW);
    await expect(volumes.make({ path: image, sizeInMb: 4 }, path, signal)).rejects.toMatchObject({
      ...{ kind: 'full', reason: 'StorageFull', terminal: false },
      message: expect.stringMatching(
        new RegExp(
          `^Cannot copy ${image} to ${path}: no space left on the disk: the file system of \\S+ has \\d+ KiB and \\w+ inodes left$`,
        ),
      ),
    });
    expect(await readdir(mount)).toEqual(['golden.img']);
    await run(['mount', '-o', 'remount,size=12m', mount], limits);
    await volumes.make({ path: image, sizeInMb: 4 }, path, signal);
    expect((await readFile(path)).equals(await readFile(image))).toBe(true);
  } finally {
    await run(['umount', mount], limits);
  }
});
