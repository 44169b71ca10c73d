import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bareElf, bzImage, elf, pvhElf } from '../../test/support/boot-bytes.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { writeLayout } from '../../test/support/oci-layout.ts';
import { Fault } from '../domain/fault.ts';
import { IMAGES_OWNER } from '../domain/ledger.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { ImageStore, LocalImage } from '../ports/images.ts';
import type { Ledger } from '../ports/ledger.ts';
import { createImages } from './images.ts';

const signal = new AbortController().signal;
const inUse = { digests: new Set<string>(), references: new Set<string>(), isWhole: true };

let top: string;
let ledger: Ledger;
let images: ImageStore;

const open = (): ImageStore =>
  createImages({
    ...{ directory: join(top, 'state'), imageRoots: [join(top, 'root')], run, files, ledger, clock, log: memoryLog() },
    insecureRegistries: [],
  });

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'fl-fitted-'));
  for (const name of ['state', 'root']) await mkdir(join(top, name));
  ledger = memoryLedger();
  images = open();
});
afterEach(() => rm(top, { recursive: true, force: true }));

async function imageWith(kernels: Readonly<Record<string, Buffer>>): Promise<LocalImage> {
  const layer = Object.entries(kernels).map(([name, data]) => ({ name, data }));
  await writeLayout(join(top, 'root/layout'), { v1: { layers: [layer] } });
  return images.ensure(`oci:${join(top, 'root/layout')}:v1`, { signal });
}
const kernel = async (image: LocalImage, filename?: string, more: { dry?: true } = {}) =>
  (await images.bootFiles(image, { kernel: filename === undefined ? {} : { filename } }, { signal, ...more })).kernel;
const fittedDirectory = (): string => join(top, 'state/kernels');
const entries = () => ledger.all().filter(({ kind }) => kind === 'fitted-kernel');

describe('a kernel without a PVH entry point', () => {
  test('is given one, once, and it is the ledger that names it', async () => {
    const image = await imageWith({ vmlinux: bareElf(), same: Buffer.from('x') });
    expect(await kernel(image, undefined, { dry: true })).toMatchObject({
      path: join(image.tree, 'vmlinux'),
      fitted: true,
    });
    expect(entries()).toEqual([]);

    const [one, two] = await Promise.all([kernel(image), kernel(image, '/vmlinux')]);
    expect(two).toEqual(one);
    expect(one).toMatchObject({ filename: 'vmlinux', fitted: true, facts: { release: '6.1.0-fc' } });
    expect(await readdir(fittedDirectory())).toHaveLength(1);
    expect(one?.path.startsWith(fittedDirectory())).toBe(true);
    const bytes = await readFile(one?.path ?? '');
    expect(bytes.includes('Xen\0')).toBe(true);
    expect(entries()).toMatchObject([{ made: true, intent: { paths: [one?.path, `${one?.path}.partial`] } }]);
    const [listed] = await images.list();
    expect(listed?.bytes).toBeGreaterThan(bytes.length);

    // Another daemon finds it; one that was taken away is made anew.
    images = open();
    expect(await kernel(image)).toEqual(one);
    await rm(one?.path ?? '');
    expect(await kernel(image)).toEqual(one);
    expect(await readFile(one?.path ?? '')).toEqual(bytes);
  });

  test('goes with its image', async () => {
    const image = await imageWith({ vmlinux: bareElf() });
    await kernel(image);
    await images.remove(image.digest, () => inUse);
    expect(await readdir(fittedDirectory())).toEqual([]);
    expect(ledger.all()).toEqual([]);
  });

  test('that a crash left half is put away at the next start', async () => {
    const image = await imageWith({ vmlinux: bareElf() });
    const path = join(fittedDirectory(), 'half');
    await mkdir(fittedDirectory());
    await files.write(`${path}.partial`, 'half');
    ledger.intend(IMAGES_OWNER, 'fitted-kernel', `${image.digest}/kernel-half`, { paths: [path, `${path}.partial`] });
    images = open();
    await images.recover(signal);
    expect(await readdir(fittedDirectory())).toEqual([]);
    expect(entries()).toEqual([]);
  });

  test('that leaves no room for it is refused, before anything is made', async () => {
    const whole = elf({
      entry: 2 ** 20,
      segments: [{ address: 2 ** 20, memoryBytes: 3 * 2 ** 30 - 2 ** 20, data: 'Linux version 6.1 (me)' }],
    });
    const image = await imageWith({ vmlinux: whole });
    const refused = {
      reason: 'KernelNotFound',
      message: expect.stringMatching(/no PVH entry point, and leaves no room/),
    };
    await expect(kernel(image)).rejects.toMatchObject(refused);
    await expect(kernel(image, 'vmlinux', { dry: true })).rejects.toMatchObject(refused);
    expect(entries()).toEqual([]);
  });
});

test('a kernel that can be entered is taken as it is', async () => {
  const image = await imageWith({ vmlinux: pvhElf(), vmlinuz: bzImage() });
  for (const name of ['vmlinux', 'vmlinuz']) {
    const found = await kernel(image, name);
    expect(found).toMatchObject({ path: join(image.tree, name) });
    expect(found).not.toHaveProperty('fitted');
  }
  expect(entries()).toEqual([]);
});

describe('what is packed in a bzImage is looked at by the tool for it', () => {
  const words = 'Linux version 6.1.9-fc (me) #1 virtio-mmio-cmdline';
  test.each([
    ['xz', ['xz', '--check=crc32', '--stdout']],
    ['lzma', ['xz', '--format=lzma', '--stdout']],
    ['lz4', ['lz4', '-l', '-q', '-c']],
  ])('%s', async (_, [tool = '', ...args]) => {
    const plain = join(top, 'plain');
    await files.write(plain, bareElf(words));
    const packed = join(top, 'packed');
    await run(['sh', '-c', '"$@" >"$0"', packed, tool, ...args, plain], { signal, timeoutMs: 30_000 });
    const payload = Buffer.concat([await readFile(packed), Buffer.from([1, 2, 3, 4])]);
    const image = await imageWith({ vmlinuz: bzImage({ release: '6.1.9-fc', payload }) });
    expect((await kernel(image))?.facts).toEqual({
      form: 'bzImage',
      release: '6.1.9-fc',
      parts: ['virtio-mmio', 'virtio-mmio on the command line'],
      readsGpt: false,
    });
    expect(await readdir(join(top, 'state/scratch'))).toEqual([]);
  });

  test('where there is no room for it that is no fault of the kernel either', async () => {
    const image = await imageWith({
      vmlinuz: bzImage({ payload: Buffer.concat([Buffer.from([0x02, 0x21, 0x4c, 0x18]), Buffer.alloc(40)]) }),
    });
    images = createImages({
      ...{ directory: join(top, 'state'), imageRoots: [join(top, 'root')], run, ledger, clock, log: memoryLog() },
      ...{ insecureRegistries: [], files: { ...files, freeBytes: async () => 2 ** 20 } },
    });
    expect((await kernel(image))?.facts.unseen).toMatch(
      /Cannot look into a kernel: it needs at least .*looked at again/,
    );
  });

  test('where there is none that is no fault of the kernel, and it is asked again the next time', async () => {
    let isThere = false;
    images = createImages({
      ...{ directory: join(top, 'state'), imageRoots: [join(top, 'root')], files, ledger, clock, log: memoryLog() },
      insecureRegistries: [],
      run: (argv, limits) =>
        isThere || !argv.includes('lz4')
          ? run(argv, limits)
          : Promise.reject(
              new Fault(
                'tool',
                'prlimit failed (exit status 127): prlimit: failed to execute lz4: No such file or directory',
              ),
            ),
    });
    const payload = Buffer.concat([Buffer.from([0x02, 0x21, 0x4c, 0x18]), Buffer.alloc(40)]);
    const image = await imageWith({ vmlinuz: bzImage({ payload }) });
    expect((await kernel(image))?.facts.unseen).toBe(
      'it could not be unpacked: lz4 is not installed (it is looked at again with the next microVM)',
    );
    isThere = true;
    expect((await kernel(image))?.facts.unseen).not.toContain('not installed');
    expect(await readdir(join(top, 'state/scratch'))).toEqual([]);
  });
});
