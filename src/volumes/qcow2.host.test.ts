import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { files } from '../host/files.ts';
import { overlayOf } from './qcow2.ts';

const exec = promisify(execFile);
const MB = 2 ** 20;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fl-qcow2-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** An image with something at its beginning and its end, and an overlay over it. */
async function overlay(sizeInMb: number, backing = join(directory, 'golden')) {
  const file = await open(backing, 'w');
  await file.truncate(sizeInMb * MB);
  await file.write('begin', 0);
  await file.write('end', sizeInMb * MB - 3);
  await file.close();
  const path = join(directory, 'overlay');
  const { sizeBytes, pieces } = overlayOf(backing, sizeInMb * MB);
  await files.writeSparse(path, sizeBytes, pieces);
  return { backing, path };
}
const qemuImg = async (...argv: readonly string[]) => (await exec('qemu-img', argv)).stdout;
const info = async (path: string) => JSON.parse(await qemuImg('info', '--output=json', path));

test.each([1, 2, 511, 512, 513, 64, 2_048, 40 * 1_024])('QEMU finds nothing wrong in one of %i MiB', async (size) => {
  const { backing, path } = await overlay(size);
  expect(await qemuImg('check', '-f', 'qcow2', path)).toContain('No errors were found');
  const theirs = join(directory, 'theirs');
  await qemuImg('create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', backing, theirs, String(size * MB));
  const [ours, other] = [await info(path), await info(theirs)];
  for (const key of ['format', 'virtual-size', 'cluster-size', 'backing-filename', 'backing-filename-format'])
    expect(ours[key], key).toEqual(other[key]);
  expect(ours['format-specific'].data).toEqual(other['format-specific'].data);
  expect(await qemuImg('compare', '-f', 'qcow2', '-F', 'raw', path, backing)).toContain('Images are identical');
  expect((await stat(path)).blocks * 512).toBeLessThanOrEqual(32 << 10);
});

test('what is written at both ends is in it, and not in the image', async () => {
  const size = 40 * 1_024;
  const { backing, path } = await overlay(size);
  const last = `${size * MB - 512}`;
  await exec('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x41 0 512', '-c', `write -P 0x42 ${last} 512`, path]);
  for (const command of ['read -P 0x41 0 512', `read -P 0x42 ${last} 512`, 'read -P 0 1M 1M'])
    await exec('qemu-io', ['-f', 'qcow2', '-c', command, path]);
  expect(await qemuImg('check', '-f', 'qcow2', path)).toContain('No errors were found');
  await expect(exec('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', path, backing])).rejects.toMatchObject({
    stdout: expect.stringContaining('Content mismatch'),
  });
  expect((await files.read(backing, { maxBytes: 6 }))?.toString()).toBe('begin\0');
});

test('the longest path of an image that the format has room for is read back', async () => {
  const deep = join(directory, ...Array.from({ length: 4 }, () => 'ä'.repeat(110)));
  await mkdir(deep, { recursive: true });
  const backing = join(deep, 'x'.repeat(1_023 - Buffer.byteLength(deep) - 1));
  expect(Buffer.byteLength(backing)).toBe(1_023);
  const { path } = await overlay(1, backing);
  expect((await info(path))['backing-filename']).toBe(backing);
  expect(await qemuImg('check', '-f', 'qcow2', path)).toContain('No errors were found');
  expect(await qemuImg('compare', '-f', 'qcow2', '-F', 'raw', path, backing)).toContain('Images are identical');
});
