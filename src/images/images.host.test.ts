import { execFile } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bzImage } from '../../test/support/boot-bytes.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { HOST_ARCHITECTURE, type TestImage, writeLayout } from '../../test/support/oci-layout.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { Run } from '../ports/host.ts';
import type { ImageStore } from '../ports/images.ts';
import type { Ledger } from '../ports/ledger.ts';
import { UNPACK } from '../unpack/program.ts';
import { createImages } from './images.ts';
import type { ImagesOptions } from './images-options.ts';

const exec = promisify(execFile);
const signal = new AbortController().signal;

let top: string;
let directory: string;
let root: string;
let ledger: Ledger;

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'fl-images-'));
  directory = join(top, 'state');
  root = join(top, 'root');
  await mkdir(directory);
  await mkdir(root);
  ledger = memoryLedger();
});
afterEach(() => rm(top, { recursive: true, force: true }));

const open = (more: Partial<ImagesOptions> = {}): ImageStore =>
  createImages({
    ...{ directory, imageRoots: [root], run, files, ledger, clock, log: memoryLog(), insecureRegistries: [] },
    ...more,
  });

const layout = (tags: Parameters<typeof writeLayout>[1], name = 'layout') => writeLayout(join(root, name), tags);
const reference = (tag = 'v1', name = 'layout'): string => `oci:${join(root, name)}:${tag}`;
const simple: TestImage = { layers: [[{ name: 'hello', data: 'hello\n' }]] };

const isUnpacker = (argv: readonly string[]): boolean => argv.includes(UNPACK.at(-1) ?? '');

/** What debugfs says of a path in a disk image. */
const debugfs = async (image: string, request: string): Promise<string> =>
  (await exec('debugfs', ['-R', request, image])).stdout;

/** Everything below a directory, but what it is meant to keep. */
async function leftovers(): Promise<string[]> {
  const all = await readdir(directory, { recursive: true });
  return all.filter((name) => !/^(trees|golden|scratch)$/.test(name));
}

describe('an image in a layout', () => {
  test('is unpacked once, and nothing but its files is kept', async () => {
    const digests = await layout({ v1: simple });
    const images = open();
    const told: [number, number][] = [];
    const image = await images.ensure(reference(), { signal, onBytes: (...bytes) => told.push(bytes) });
    expect(image.digest).toBe(digests.v1);
    expect(await readFile(join(image.tree, 'hello'), 'utf8')).toBe('hello\n');
    const [done, total] = told.at(-1) ?? [0, 0];
    expect(done).toBe(total);
    expect(total).toBeGreaterThan(0);
    expect(await readdir(join(directory, 'scratch'))).toEqual([]);
    expect(ledger.all().map(({ kind, key, made }) => ({ kind, key, made }))).toEqual([
      { kind: 'image-tree', key: digests.v1, made: true },
    ]);
    expect((await stat(join(directory, 'trees'))).mode & 0o777).toBe(0o700);
    expect(await open().ensure(reference(), { signal })).toEqual(image);
  });

  test('is told whether it is here, without being pulled', async () => {
    await layout({ v1: simple, v2: { layers: [[{ name: 'other' }]] } });
    const images = open();
    const known = (text: string) => images.cached(text, signal);
    expect(await known(reference())).toBeUndefined();
    expect(ledger.all()).toEqual([]);
    const image = await images.ensure(reference(), { signal });
    expect(await known(reference())).toEqual(image);
    await expect(known(reference('v3'))).rejects.toMatchObject({ reason: 'ImageNotFound' });
    for (const text of [
      'localhost:1/x:v1',
      `localhost:1/x@${image.digest}`,
      'oci:/etc:v1',
      `oci-archive:${root}/a.tar:v1`,
    ])
      expect(await known(text), text).toEqual(text.includes('@') ? image : undefined);
  });

  test('of several CPUs is the one for this host, under the digest of the index', async () => {
    const other = { ...simple, architecture: 's390x' };
    const digests = await layout({ v1: [other, { layers: [[{ name: 'mine' }]] }] });
    const image = await open().ensure(reference(), { signal });
    expect(image.digest).toBe(digests.v1);
    expect(await readdir(image.tree)).toEqual(['mine']);
  });

  test.each([
    ['an image', { ...simple, architecture: 's390x' }],
    ['an index', [{ ...simple, architecture: 's390x' }]],
  ])('for another CPU, as %s, is refused for good with both named', async (_, wrong) => {
    await layout({ v1: wrong });
    await expect(open().ensure(reference(), { signal })).rejects.toMatchObject({
      kind: 'invalid',
      reason: 'ImageInvalid',
      terminal: true,
      message: expect.stringContaining(`linux/s390x, and this host is linux/${HOST_ARCHITECTURE}`),
    });
    expect(await leftovers()).toEqual([]);
    expect(ledger.all()).toEqual([]);
  });

  test('that is not there is not found: tag, directory, and a file in its stead', async () => {
    await layout({ v1: simple, v2: { layers: [[{ name: 'two' }]] } });
    const images = open();
    const missing = (message: string) => ({
      kind: 'not_found',
      reason: 'ImageNotFound',
      terminal: true,
      message: expect.stringContaining(message),
    });
    await expect(images.ensure(reference('v3'), { signal })).rejects.toMatchObject(
      missing(`it has ${reference('v1')}, ${reference('v2')}`),
    );
    await expect(images.ensure(reference('v1', 'none'), { signal })).rejects.toMatchObject(missing('no OCI layout'));
    await writeFile(join(root, 'file'), '');
    await expect(images.ensure(reference('v1', 'file'), { signal })).rejects.toMatchObject(missing('no OCI layout'));
    await expect(images.ensure(`oci-archive:${root}/a.tar:v1`, { signal })).rejects.toMatchObject(
      missing('does not exist'),
    );
  });

  test.each(['manifest', 'config', 'layer'])(
    'with a corrupt %s is refused for good, and nothing is left',
    async (part) => {
      const { v1 = '' } = await layout({ v1: simple });
      const blob = (digest: string): string => join(root, 'layout/blobs', digest.replace(':', '/'));
      const manifest = JSON.parse(await readFile(blob(v1), 'utf8'));
      const victim = part === 'manifest' ? v1 : part === 'config' ? manifest.config.digest : manifest.layers[0].digest;
      const bytes = await readFile(blob(victim));
      await writeFile(blob(victim), bytes.subarray(0, bytes.length - 5));
      await expect(open().ensure(reference(), { signal })).rejects.toMatchObject({
        reason: 'ImageInvalid',
        terminal: true,
      });
      expect(await leftovers()).toEqual([]);
      expect(ledger.all()).toEqual([]);
    },
  );

  test('in an archive is the same image', async () => {
    const digests = await layout({ v1: simple });
    const archive = join(root, 'demo.tar');
    await exec('skopeo', ['copy', '-q', reference(), `oci-archive:${archive}:v1`]);
    const image = await open().ensure(`oci-archive:${archive}:v1`, { signal });
    expect(image.digest).toBe(digests.v1);
    expect(await readdir(image.tree)).toEqual(['hello']);
    expect(await readdir(join(directory, 'scratch'))).toEqual([]);
    // Packed as a whole, too; and it has no other image.
    await exec('gzip', [archive]);
    expect(await open().ensure(`oci-archive:${archive}.gz`, { signal })).toEqual(image);
    expect(await leftovers()).not.toContain(expect.stringMatching(/lookup-/));
  });
});

describe('check', () => {
  test('lets pass what lies under an image root, and the form of a registry', async () => {
    await layout({ v1: simple });
    await symlink(join(root, 'layout'), join(root, 'alias'));
    const images = open();
    for (const good of [reference(), reference('v1', 'alias'), reference('v1', 'not-yet/there'), 'ghcr.io/a/b:v1'])
      expect(await images.check(good), good).toBeUndefined();
  });

  test('refuses what does not, also through a symlink', async () => {
    await mkdir(join(top, 'secret'));
    await symlink(join(top, 'secret'), join(root, 'out'));
    await symlink(join(top, 'nothing'), join(root, 'dangling'));
    await symlink('loop', join(root, 'loop'));
    const images = open();
    for (const bad of ['out', 'out/deeper', 'dangling', 'loop/x', '../secret'].map((n) => `oci:${root}/${n}:v1`))
      expect(await images.check(bad), bad).toMatch(/image root|--image-root|without "\."/);
    expect(await images.check(`oci:${root}-beside:v1`)).toContain('--image-root');
    expect(await images.check('oci:/etc:v1')).toContain(`must lie under ${root}`);
    expect(await open({ imageRoots: [] }).check(reference())).toContain('start it with --image-root DIR');
    await expect(images.ensure('oci:/etc:v1', { signal })).rejects.toMatchObject({ kind: 'invalid' });
  });
});

describe('hostile layers', () => {
  const evil = 'evil';
  test.each<[string, TestImage['layers']]>([
    ['a name with ..', [[{ name: '../../../../escaped', data: evil }]]],
    ['an absolute name', [[{ name: '/escaped', data: evil }]]],
    [
      'a file through a symlink out',
      [
        [
          { name: 'd', type: 'symlink', link: '../../..' },
          { name: 'd/escaped', data: evil },
        ],
      ],
    ],
    [
      'the same in two layers',
      [[{ name: 'd', type: 'symlink', link: '../../..' }], [{ name: 'd/escaped', data: evil }]],
    ],
    [
      'a hard link to the host',
      [
        [
          { name: 'h', type: 'hard link', link: '../../../../victim' },
          { name: 'h', data: evil },
        ],
      ],
    ],
    ['a whiteout of the host', [[{ name: 'd', type: 'symlink', link: '../../..' }], [{ name: 'd/.wh.victim' }]]],
    [
      'a symlink in place of the root',
      [
        [
          { name: '.', type: 'symlink', link: '../../../..' },
          { name: 'victim', data: evil },
        ],
      ],
    ],
    ['the same, from the second layer', [[{ name: 'x' }], [{ name: './', type: 'symlink', link: '/etc' }]]],
    ['a file in place of the root', [[{ name: '.', data: evil }]]],
    ['a whiteout of the root', [[{ name: 'x' }], [{ name: '.wh.' }], [{ name: '.wh..' }], [{ name: '.wh...' }]]],
  ])('%s: nothing outside the tree is touched', async (_, layers) => {
    await writeFile(join(top, 'victim'), 'whole');
    await layout({ v1: { layers } });
    const before = await readdir(top);
    const image = await open()
      .ensure(reference(), { signal })
      .catch((error) => void expect(error).toMatchObject({ reason: 'ImageInvalid' }));
    if (image) expect((await lstat(image.tree)).isDirectory()).toBe(true);
    expect(await readdir(top)).toEqual(before);
    expect(await readFile(join(top, 'victim'), 'utf8')).toBe('whole');
    expect(
      (await readdir(directory, { recursive: true })).filter((n) => n.includes('escaped') && !n.includes('rootfs')),
    ).toEqual([]);
  });

  test('a symlink does not lead a kernel out of the image', async () => {
    await writeFile(join(top, 'secret'), bzImage());
    const layers: TestImage['layers'] = [
      [
        { name: 'vmlinux', type: 'symlink', link: join(top, 'secret') },
        { name: 'up', type: 'symlink', link: `${'../'.repeat(20)}${top.slice(1)}/secret` },
        { name: 'etc', type: 'directory' },
        { name: 'etc/kernel', data: bzImage() },
        { name: 'inside', type: 'symlink', link: '/etc/kernel' },
        { name: 'loop', type: 'symlink', link: 'loop' },
        { name: 'pipe', type: 'fifo' },
        { name: 'zero', type: 'character device', device: [1, 5] },
      ],
    ];
    await layout({ v1: { layers } });
    const images = open();
    const image = await images.ensure(reference(), { signal });
    const kernel = async (filename?: string) =>
      (await images.bootFiles(image, { kernel: filename === undefined ? {} : { filename } }, { signal })).kernel;
    expect(await kernel('inside')).toMatchObject({ filename: 'inside', path: join(image.tree, 'etc/kernel') });
    for (const name of ['vmlinux', 'up', 'loop', 'pipe', 'zero', 'etc', '/', 'none'])
      await expect(kernel(name), String(name)).rejects.toMatchObject({
        kind: 'not_found',
        reason: 'KernelNotFound',
        terminal: true,
      });
    await expect(kernel('../../secret')).rejects.toMatchObject({ kind: 'invalid' });
  });
});

describe('a disk image', () => {
  const rich: TestImage = {
    layers: [
      [
        { name: 'bin', type: 'directory', mode: 0o755 },
        { name: 'bin/tool', data: 'tool', mode: 0o4755, uid: 1000, gid: 1001, xattrs: { 'user.note': 'kept' } },
        { name: 'bin/same', type: 'hard link', link: 'bin/tool' },
        { name: 'gone', data: 'x' },
        { name: 'opaque', type: 'directory' },
        { name: 'opaque/old', data: 'x' },
        { name: 'link', type: 'symlink', link: 'bin/tool' },
        { name: 'null', type: 'character device', device: [1, 3], mode: 0o666 },
        {
          name: 'capable',
          data: 'c',
          mode: 0o755,
          // cap_net_bind_service=ep, version 2: see capabilities(7) and linux/capability.h
          xattrs: { 'security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex') },
        },
      ],
      [{ name: '.wh.gone' }, { name: 'opaque/.wh..wh..opq' }, { name: 'opaque/new', data: 'n', uid: 7, gid: 8 }],
    ],
  };

  test('holds owners, modes, links, devices, attributes; whiteouts are applied', async () => {
    await layout({ v1: rich });
    const images = open();
    const image = await images.ensure(reference(), { signal });
    const golden = await images.golden(image, { signal });
    const tool = await debugfs(golden.path, 'stat /bin/tool');
    expect(tool).toMatch(/Mode:\s+04755/);
    expect(tool).toMatch(/User:\s+1000\s+Group:\s+1001/);
    expect(tool).toMatch(/Links: 2/);
    expect(tool).toContain('user.note (4) = "kept"');
    expect((await debugfs(golden.path, 'stat /bin/same')).split('\n')[0]).toBe(tool.split('\n')[0]);
    expect(await debugfs(golden.path, 'stat /link')).toMatch(/Fast link dest: "bin\/tool"/);
    expect(await debugfs(golden.path, 'stat /null')).toMatch(/character special[\s\S]*01:03/);
    expect(await debugfs(golden.path, 'stat /capable')).toContain('security.capability (20)');
    const top = await debugfs(golden.path, 'ls -p /');
    expect(top).not.toContain('/gone/');
    expect(top).not.toContain('.wh.');
    expect(await debugfs(golden.path, 'ls -p /opaque')).toMatch(/\/100644\/7\/8\/new\//);
    expect(await debugfs(golden.path, 'ls -p /opaque')).not.toContain('/old/');
    await exec('e2fsck', ['-fn', golden.path]);
    expect(golden.path).toContain(directory);
  });

  test('is made once for each size, is sparse, and has that size', async () => {
    await layout({ v1: simple });
    const images = open();
    const image = await images.ensure(reference(), { signal });
    const [a, b, c] = await Promise.all([
      images.golden(image, { sizeInMb: 700, signal }),
      images.golden(image, { sizeInMb: 700, signal }),
      images.golden(image, { signal }),
    ]);
    expect(a).toEqual(b);
    expect(c.path).not.toBe(a.path);
    const info = await stat(a.path);
    expect(info.size).toBe(700 * 2 ** 20);
    expect(info.blocks * 512).toBeLessThan(4 * 2 ** 20);
    expect((await stat(c.path)).size).toBe(c.sizeInMb * 2 ** 20);
    expect(await open().golden(image, { sizeInMb: 700, signal })).toEqual(a);
    expect((await stat(a.path)).mtimeMs).toBe(info.mtimeMs);
    expect((await exec('dumpe2fs', ['-h', a.path])).stdout).toMatch(/Block size:\s+4096/);
    expect(ledger.ofKind('golden').map(({ key, made }) => [key, made])).toEqual([
      [`${image.digest}/700`, true],
      [`${image.digest}/auto`, true],
    ]);
  });

  test('that is too small for its files is refused with both figures, and nothing is left', async () => {
    const data = Buffer.alloc(20 * 2 ** 20, 'x');
    await layout({ v1: { layers: [[{ name: 'big', data }]] } });
    const images = open();
    const image = await images.ensure(reference(), { signal });
    for (const sizeInMb of [1, 16])
      await expect(images.golden(image, { sizeInMb, signal })).rejects.toMatchObject({
        kind: 'refused',
        reason: 'VolumeTooSmall',
        terminal: true,
        message: expect.stringMatching(
          new RegExp(`volume of ${sizeInMb} MB .*holds 2[0-9] MB .*needs about [2-9][0-9] MB`),
        ),
      });
    expect(await readdir(join(directory, 'golden'))).toEqual([]);
    expect(ledger.ofKind('golden')).toEqual([]);
    expect((await images.golden(image, { sizeInMb: 40, signal })).sizeInMb).toBe(40);
  });

  test('of very many files gets inodes enough', async () => {
    const many = Array.from({ length: 6_500 }, (_, i) => ({ name: `d${i % 100}/f${i}` }));
    await layout({ v1: { layers: [many] } });
    const images = open();
    const image = await images.ensure(reference(), { signal });
    const golden = await images.golden(image, { sizeInMb: 24, signal });
    const { stdout } = await exec('dumpe2fs', ['-h', golden.path]);
    expect(Number(/Free inodes:\s+(\d+)/.exec(stdout)?.[1])).toBeGreaterThan(1_000);
  });

  test('in a partition fills it, has its UUID, and is made once for each', async () => {
    const uuid = 'abcdef01-1111-2222-3333-444444444444';
    const layers = [
      [{ name: './', type: 'directory', mode: 0o1777, uid: 5, gid: 6 } as const, { name: 'f', data: 'f' }],
    ];
    await layout({ v1: { layers } });
    const images = open();
    const image = await images.ensure(reference(), { signal });
    const shape = { sizeInMb: 90, partitionUuid: uuid, signal };
    const [a, b, bare, other] = await Promise.all([
      images.golden(image, shape),
      images.golden(image, shape),
      images.golden(image, { sizeInMb: 90, signal }),
      images.golden(image, { partitionUuid: uuid.replace('a', 'b'), signal }),
    ]);
    expect(a).toEqual(b);
    expect(new Set([a, bare, other].map(({ path }) => path)).size).toBe(3);
    expect((await stat(a.path)).size).toBe(90 * 2 ** 20);
    expect((await stat(other.path)).size).toBe(other.sizeInMb * 2 ** 20);
    expect((await stat(a.path)).blocks * 512).toBeLessThan(4 * 2 ** 20);
    const { partitiontable } = JSON.parse((await exec('sfdisk', ['--json', a.path])).stdout);
    expect(partitiontable).toMatchObject({
      label: 'gpt',
      partitions: [{ start: 2048, size: 88 * 2048, uuid: uuid.toUpperCase() }],
    });
    await exec('sfdisk', ['--verify', a.path]);
    const inside = `${a.path}?offset=${2 ** 20}`;
    const dir = await debugfs(inside, 'stat /');
    expect(dir).toMatch(/Mode:\s+0?1777/);
    expect(dir).toMatch(/User:\s+5\s+Group:\s+6/);
    expect(await debugfs(inside, 'stats')).toMatch(new RegExp(`Block count:\\s+${88 * 256}\\s`));
    await exec('e2fsck', ['-fn', inside]);
    // A new daemon finds them.
    expect(await open().golden(image, shape)).toEqual(a);
    expect((await images.list())[0]?.goldens).toHaveLength(3);
  });

  test('lets every user in where no layer says anything of a directory, whatever the umask of the daemon', async () => {
    await layout({ v1: { layers: [[{ name: 'a/b/hello', data: 'hello' }]] } });
    const daemons = process.umask(0o077);
    try {
      const images = open();
      const golden = await images.golden(await images.ensure(reference(), { signal }), { signal });
      for (const path of ['/', '/a', '/a/b'])
        expect(await debugfs(golden.path, `stat ${path}`)).toMatch(/Mode:\s+0?755/);
    } finally {
      process.umask(daemons);
    }
  });

  test("keeps the root directory's owner and mode", async () => {
    await layout({ v1: { layers: [[{ name: './', type: 'directory', mode: 0o750, uid: 5, gid: 6 }]] } });
    const images = open();
    const golden = await images.golden(await images.ensure(reference(), { signal }), { signal });
    const dir = await debugfs(golden.path, 'stat /');
    expect(dir).toMatch(/Mode:\s+0?750/);
    expect(dir).toMatch(/User:\s+5\s+Group:\s+6/);
    await exec('e2fsck', ['-fn', golden.path]);
  });
});

describe('many at once, and cut off', () => {
  test('ten ask: one pull; the one that aborts does not hurt the others', async () => {
    await layout({ v1: simple });
    let copies = 0;
    const counting: Run = (argv, limits) => {
      if (isUnpacker(argv)) copies++;
      return run(argv, limits);
    };
    const images = open({ run: counting });
    const stop = new AbortController();
    const aborted = images.ensure(reference(), { signal: stop.signal });
    const others = Array.from({ length: 9 }, () => images.ensure(reference(), { signal }));
    stop.abort(new Error('not me'));
    await expect(aborted).rejects.toThrow('not me');
    expect(new Set((await Promise.all(others)).map((image) => image.tree)).size).toBe(1);
    expect(copies).toBe(1);
  });

  test('namespaces take turns at what keeps the disk busy, whoever asked first', async () => {
    await layout({ v1: simple, v2: { layers: [[{ name: 'other', data: 'x' }]] } });
    const [one, two] = await Promise.all(['v1', 'v2'].map((tag) => open().ensure(reference(tag), { signal })));
    if (!one || !two) throw new Error('no images');
    const held: { readonly path: string; readonly go: () => void }[] = [];
    let tell = (): void => undefined;
    const holding: Run = async (argv, limits) => {
      if (argv[0] !== 'mke2fs') return run(argv, limits);
      const { promise, resolve: go } = Promise.withResolvers<void>();
      held.push({ path: argv.find((word) => word.includes('/golden/')) ?? '', go });
      tell();
      await promise;
      return run(argv, limits);
    };
    const until = async (count: number): Promise<void> => {
      while (held.length < count) await new Promise<void>((resolve) => (tell = resolve));
    };
    const images = open({ run: holding });
    const make = (image: typeof one, sizeInMb: number, whose?: string) =>
      images.golden(image, { signal, sizeInMb, ...(whose !== undefined && { whose }) });
    const done = [make(one, 8, 'a'), make(one, 9, 'a')];
    await until(2);
    done.push(make(one, 10, 'a'), make(one, 11, 'a'), make(two, 8, 'b'), make(two, 9));
    for (let i = 0; i < 10; i++) await new Promise(setImmediate); // all of them wait for a place
    for (let next = 0; next < 6; next++) {
      held[next]?.go();
      await until(Math.min(6, next + 3));
    }
    await Promise.all(done);
    const order = held.map(({ path }) => path.replace(/^.*\/golden\/(?:sha256[:-])?/, ''));
    expect(order.map((name) => name.startsWith(one.digest.slice(7)))).toEqual([true, true, false, true, false, true]);
  });

  test('the last to abort ends the tool, nothing is left, and the next one pulls', async () => {
    await layout({ v1: simple });
    const stop = new AbortController();
    const hanging: Run = async (argv, limits) => {
      if (!isUnpacker(argv)) return run(argv, limits);
      await run(argv, limits);
      stop.abort(new Error('enough'));
      return run(['sleep', '60'], limits);
    };
    const images = open({ run: hanging });
    await expect(images.ensure(reference(), { signal: stop.signal })).rejects.toThrow('enough');
    await images.settled();
    expect(await leftovers()).toEqual([]);
    expect(ledger.all()).toEqual([]);
    await open().ensure(reference(), { signal });
  });

  // A daemon that is killed leaves what was there; the second cache is its next life.
  test.each([UNPACK[0], 'sync'])('killed at %s: both recover and a pull put it right', async (at) => {
    const digests = await layout({ v1: simple });
    for (const recovers of [true, false]) {
      const { promise: reached, resolve } = Promise.withResolvers<void>();
      const dying: Run = async (argv, limits) => {
        const out = await run(argv, limits);
        if (argv[0] !== at) return out;
        resolve();
        return new Promise<string>(() => undefined);
      };
      void open({ run: dying }).ensure(reference(), { signal });
      await reached;
      expect(ledger.all().map((entry) => entry.made)).toEqual([false]);
      expect(await leftovers()).not.toEqual([]);
      const next = open();
      if (recovers) {
        await next.recover(signal);
        expect(ledger.all()).toEqual([]);
        expect(await leftovers()).toEqual([]);
      }
      const image = await next.ensure(reference(), { signal });
      expect(await readdir(image.tree)).toEqual(['hello']);
      expect(await readdir(join(directory, 'scratch'))).toEqual([]);
      await next.remove(digests.v1 ?? '', () => ({ digests: new Set(), references: new Set(), isWhole: true }));
      expect(await leftovers()).toEqual([]);
    }
  });

  test('killed in the middle of a disk image: the next makes it whole', async () => {
    await layout({ v1: simple });
    const image = await open().ensure(reference(), { signal });
    const { promise: reached, resolve } = Promise.withResolvers<void>();
    const dying: Run = async (argv, limits) => {
      const out = await run(argv, limits);
      if (argv[0] !== 'mke2fs') return out;
      resolve();
      return new Promise<string>(() => undefined);
    };
    void open({ run: dying }).golden(image, { signal });
    await reached;
    const next = open();
    await next.recover(signal);
    expect(await readdir(join(directory, 'golden'))).toEqual([]);
    const golden = await next.golden(image, { signal });
    await exec('e2fsck', ['-fn', golden.path]);
  });
});

describe('the keeper of the cache', () => {
  const nothing = () => ({ digests: new Set<string>(), references: new Set<string>(), isWhole: true });

  test('lists what is there, and removes what nothing holds', async () => {
    const digests = await layout({ v1: simple, v2: { layers: [[{ name: 'two' }]] } });
    const [one = '', two = ''] = [digests.v1, digests.v2];
    const images = open();
    const image = await images.ensure(reference(), { signal });
    await images.ensure(reference('v2'), { signal });
    const golden = await images.golden(image, { sizeInMb: 32, signal });
    const listed = await open().list(); // a new daemon knows it too
    expect(listed.map((i) => i.digest).sort()).toEqual([one, two].sort());
    const first = listed.find((i) => i.digest === one);
    expect(first?.references).toEqual([reference()]);
    expect(first?.goldens.map((g) => g.path)).toEqual([golden.path]);
    expect(first?.bytes).toBeGreaterThan(0);
    expect(first?.lastUsedAt).toBeGreaterThan(Date.now() - 60_000);

    const held = () => ({ digests: new Set([one]), references: new Set<string>(), isWhole: true });
    await expect(images.remove(one, held)).rejects.toMatchObject({ kind: 'refused' });
    const asked = () => ({ digests: new Set<string>(), references: new Set([reference()]), isWhole: true });
    await expect(images.remove(one, asked)).rejects.toMatchObject({ kind: 'refused' });
    expect((await images.prune(held, 0)).map((i) => i.digest)).toEqual([two]);
    await images.remove(one, nothing);
    await expect(images.remove(one, nothing)).rejects.toMatchObject({ kind: 'not_found' });
    expect(await leftovers()).toEqual([]);
    expect(ledger.all()).toEqual([]);
    await images.ensure(reference(), { signal });
  });

  test('prunes what was used longest ago, down to a size', async () => {
    const digests = await layout({ v1: simple, v2: { layers: [[{ name: 'two' }]] } });
    let now = 1_000;
    const images = open({ clock: { ...clock, now: () => (now += 1_000) } });
    await images.ensure(reference('v2'), { signal });
    await images.ensure(reference('v1'), { signal });
    await images.ensure(reference('v2'), { signal });
    const [newest] = await images.list();
    expect(newest?.digest).toBe(digests.v2);
    expect((await images.prune(nothing, newest?.bytes ?? 0)).map((i) => i.digest)).toEqual([digests.v1]);
    expect((await images.list()).map((i) => i.digest)).toEqual([digests.v2]);
  });

  test('does not remove what is on its way, and a pull waits for a removal', async () => {
    const digests = await layout({ v1: simple });
    const images = open();
    await images.ensure(reference(), { signal });
    const removal = images.remove(digests.v1 ?? '', nothing);
    const again = images.ensure(reference(), { signal });
    await removal.catch((error) => expect(error).toMatchObject({ kind: 'refused' }));
    const image = await again;
    expect(await readdir(image.tree)).toEqual(['hello']);
  });
});

test('a layer that unpacks to more than there is room for is stopped', async () => {
  await layout({ v1: simple });
  let isUnpacking = false;
  const slow: Run = async (argv, limits) => {
    const out = await run(argv, limits);
    if (!isUnpacker(argv)) return out;
    isUnpacking = true;
    return run(['sleep', '60'], limits);
  };
  const images = open({ run: slow, files: { ...files, freeBytes: async () => (isUnpacking ? 2 ** 20 : 2 ** 40) } });
  await expect(images.ensure(reference(), { signal })).rejects.toMatchObject({
    kind: 'full',
    reason: 'StorageFull',
    message: expect.stringMatching(/Cannot unpack .* has 1 MB free, and 256 MB must stay free/),
  });
  expect(await leftovers()).toEqual([]);
});

test('a disk that is nearly full ends a pull before it begins, with the figures', async () => {
  await layout({ v1: simple });
  const images = open({ keepFreeBytes: 2 ** 60 });
  await expect(images.ensure(reference(), { signal })).rejects.toMatchObject({
    kind: 'full',
    reason: 'StorageFull',
    terminal: false,
    message: expect.stringMatching(/needs at least \d+ MB .* must stay free; .* has \d+ MB free/),
  });
  expect(await leftovers()).toEqual([]);
  expect(ledger.all()).toEqual([]);
});
