import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { bareElf, bzImage, efi, elf, marked, newc, pvhElf } from '../../../test/support/boot-bytes.ts';
import { type FakeEntry, fakeFiles } from '../../../test/support/fake-files.ts';
import type { KernelFacts } from '../../domain/kernel-facts.ts';
import type { BootWants } from '../../ports/images.ts';
import { SharedWork } from '../shared-work.ts';
import { BootFiles } from './boot-files.ts';

const signal = new AbortController().signal;
type Tree = Readonly<Record<string, FakeEntry>>;

function search(tree: Tree): BootFiles {
  const files = fakeFiles(Object.fromEntries(Object.entries(tree).map(([name, entry]) => [`/t/${name}`, entry])));
  const run = async (): Promise<string> => {
    throw new Error('no tool is run');
  };
  const room = run as () => Promise<never>;
  return new BootFiles(
    '/t',
    {
      files,
      run,
      room,
      known: { kinds: new Map(), facts: new Map(), looks: new SharedWork<KernelFacts | undefined>() },
    },
    signal,
  );
}
const find = (tree: Tree, wants: BootWants) => search(tree).find(wants);
const kernelOf = async (tree: Tree, filename?: string): Promise<string | undefined> =>
  (await find(tree, { kernel: filename === undefined ? {} : { filename } })).kernel?.filename;
const initrdOf = async (tree: Tree, wants: BootWants = { initrd: {} }): Promise<string | undefined> =>
  (await find(tree, wants)).initrd?.filename;

/** Every one of them boots. */
const kernels = (...names: readonly string[]): Tree =>
  Object.fromEntries(names.map((name) => [name, /vmlinux/.test(name) ? pvhElf() : bzImage({ release: '' })]));
const initrds = (...names: readonly string[]): Tree =>
  Object.fromEntries(names.map((name) => [name, gzipSync(newc())]));

describe('of kernels that all boot', () => {
  test.each([
    [['vmlinux', 'boot/vmlinux', 'vmlinuz'], 'vmlinux'],
    [['boot/vmlinux', 'vmlinuz'], 'boot/vmlinux'],
    [['boot/bzImage', 'boot/vmlinuz', 'boot/vmlinuz-6.1.0'], 'boot/vmlinuz'],
    [['bzImage'], 'bzImage'],
    [
      ['boot/vmlinuz-6.1.0-9-cloud', 'boot/vmlinuz-6.1.0-18-cloud', 'boot/vmlinuz-5.10.0'],
      'boot/vmlinuz-6.1.0-18-cloud',
    ],
    [['boot/vmlinuz-6.1.0', 'boot/vmlinux-6.1.0'], 'boot/vmlinux-6.1.0'],
    [['boot/vmlinuz-6.2.0', 'boot/vmlinux-6.1.0'], 'boot/vmlinuz-6.2.0'],
    [['boot/vmlinuz-0-rescue-abc', 'boot/vmlinuz-6.9.5.x86_64'], 'boot/vmlinuz-6.9.5.x86_64'],
    [['boot/vmlinuz-6.8.0-x86_64+debug', 'boot/vmlinuz-6.8.0-x86_64'], 'boot/vmlinuz-6.8.0-x86_64'],
    [['boot/vmlinuz-6.12-rt', 'boot/vmlinuz-6.1'], 'boot/vmlinuz-6.1'],
    [['boot/vmlinuz-6.1-rt'], 'boot/vmlinuz-6.1-rt'],
    [['boot/vmlinuz-6.1.0', 'boot/vmlinuz-6.2.0.old', 'boot/vmlinuz-6.3.0.sig'], 'boot/vmlinuz-6.1.0'],
    [['usr/lib/modules/6.9.1/vmlinuz', 'usr/lib/modules/6.10.1/vmlinuz'], 'usr/lib/modules/6.10.1/vmlinuz'],
    [['lib/modules/6.9.1/vmlinuz'], 'lib/modules/6.9.1/vmlinuz'],
    [['usr/lib/modules/6.9.1/vmlinux'], 'usr/lib/modules/6.9.1/vmlinux'],
    [['usr/lib/modules/6.9.1/vmlinuz', 'boot/vmlinuz-6.9.1'], 'boot/vmlinuz-6.9.1'],
    [['boot/0123456789abcdef0123456789abcdef/6.9.1/linux'], 'boot/0123456789abcdef0123456789abcdef/6.9.1/linux'],
    [['boot/fedora/6.9.1/linux'], 'boot/fedora/6.9.1/linux'],
    [['efi/debian/6.9.1/linux', 'efi/debian/6.10.1/linux'], 'efi/debian/6.10.1/linux'],
    [
      ['boot/efi/0123456789abcdef0123456789abcdef/6.9.1/linux'],
      'boot/efi/0123456789abcdef0123456789abcdef/6.9.1/linux',
    ],
    [['boot/kernel-6.6.13-gentoo'], 'boot/kernel-6.6.13-gentoo'],
    [['hello-vmlinux.bin'], 'hello-vmlinux.bin'],
    // Where no distribution of the usual kind has them: ostree, NixOS, a directory of the image's maker.
    [
      ['boot/ostree/fedora-0a1b/vmlinuz-6.9.5', 'boot/ostree/fedora-0a1b/vmlinuz-6.9.5.hmac'],
      'boot/ostree/fedora-0a1b/vmlinuz-6.9.5',
    ],
    [['usr/lib/ostree-boot/vmlinuz-6.9.5-0a1b'], 'usr/lib/ostree-boot/vmlinuz-6.9.5-0a1b'],
    [['boot/kernels/0a1b-linux-6.6.8-bzImage', 'etc/vmlinuz-6.6.9'], 'boot/kernels/0a1b-linux-6.6.8-bzImage'],
    [['out/x86/vmlinux', 'rootfs/sbin/init'], 'out/x86/vmlinux'],
  ])('in %j it is %s', async (names, found) => expect(await kernelOf(kernels(...names))).toBe(found));

  test('a name that is no version is judged by the version in the bytes', async () => {
    const tree = {
      'boot/vmlinuz-linux': bzImage({ release: '6.10.2-arch1-1' }),
      'boot/vmlinuz-linux-lts': bzImage({ release: '6.6.43-1-lts' }),
    };
    expect(await kernelOf(tree)).toBe('boot/vmlinuz-linux');
  });

  test('one of which the initrd is there goes before a newer one', async () => {
    const tree = {
      ...kernels('boot/vmlinuz-6.1.0', 'boot/vmlinuz-6.2.0'),
      ...initrds('boot/initrd.img-6.1.0', 'boot/initrd.img-5.10.0'),
    };
    const found = await find(tree, { kernel: {}, initrd: {} });
    expect([found.kernel?.filename, found.initrd?.filename]).toEqual(['boot/vmlinuz-6.1.0', 'boot/initrd.img-6.1.0']);
    expect(await kernelOf(tree)).toBe('boot/vmlinuz-6.2.0');
  });
});

test('a link to the newest kernel goes behind an older one whose initrd is there', async () => {
  const tree = {
    ...kernels('boot/vmlinuz-6.8.0-45-generic', 'boot/vmlinuz-6.8.0-31-generic'),
    'boot/vmlinuz': { link: 'vmlinuz-6.8.0-45-generic' },
    'boot/initrd.img': { link: 'initrd.img-6.8.0-45-generic' },
    ...initrds('boot/initrd.img-6.8.0-31-generic'),
  };
  const found = await find(tree, { kernel: {}, initrd: {} });
  expect([found.kernel?.filename, found.initrd?.filename]).toEqual([
    'boot/vmlinuz-6.8.0-31-generic',
    'boot/initrd.img-6.8.0-31-generic',
  ]);
  expect(await kernelOf(tree)).toBe('boot/vmlinuz');
});

describe('what does not boot is passed over', () => {
  test.each([
    [
      'a vmlinux without a PVH note for a bzImage',
      { 'boot/vmlinux': bareElf(), 'boot/vmlinuz': bzImage() },
      'boot/vmlinuz',
    ],
    [
      'of one release too',
      { 'boot/vmlinux-6.1': bareElf(), 'boot/vmlinuz-6.1': bzImage({ release: '6.1' }) },
      'boot/vmlinuz-6.1',
    ],
    ['but it is taken where it is all', { 'boot/vmlinux': bareElf(), 'boot/vmlinuz': 'text' }, 'boot/vmlinux'],
    ['and for a newer release', { 'boot/vmlinux-6.2': bareElf(), 'boot/vmlinuz-6.1': bzImage() }, 'boot/vmlinux-6.2'],
    [
      'a packed one',
      {
        'boot/vmlinux-6.4.0-1-default.xz': marked([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], 0),
        'boot/vmlinux-6.4.0-1-default': pvhElf(),
      },
      'boot/vmlinux-6.4.0-1-default',
    ],
    ['one for another CPU', { vmlinux: elf({ machine: 183 }), 'boot/vmlinuz-6.1': bzImage() }, 'boot/vmlinuz-6.1'],
    [
      'an ELF file that is no Linux',
      { vmlinux: bareElf('something'), 'boot/vmlinuz-6.1': bzImage() },
      'boot/vmlinuz-6.1',
    ],
    ['but not where it has a PVH note', { vmlinux: pvhElf('something'), 'boot/vmlinuz-6.1': bzImage() }, 'vmlinux'],
    [
      'one that leaves no room for an entry point',
      {
        'boot/vmlinux-6.2': elf({
          entry: 2 ** 20,
          segments: [{ address: 2 ** 20, memoryBytes: 3 * 2 ** 30 - 2 ** 20, data: 'Linux version 6.2 (me)' }],
        }),
        'boot/vmlinuz-6.1': bzImage(),
      },
      'boot/vmlinuz-6.1',
    ],
    ['an empty one', { 'boot/vmlinuz-6.2': '', 'boot/vmlinuz-6.1': bzImage() }, 'boot/vmlinuz-6.1'],
    [
      'one that was cut off',
      { 'boot/vmlinuz-6.2': bzImage({ cutTo: 1100 }), 'boot/vmlinuz-6.1': bzImage() },
      'boot/vmlinuz-6.1',
    ],
  ])('%s', async (_, tree, found) => expect(await kernelOf(tree)).toBe(found));

  test('a symlink out of the image, or a directory; one inside is followed', async () => {
    const tree = {
      vmlinux: { link: '/etc/shadow' },
      'boot/vmlinux/x': 'x',
      vmlinuz: { link: 'boot/vmlinuz-6.1' },
      'boot/vmlinuz-6.1': bzImage(),
    };
    expect((await find(tree, { kernel: {} })).kernel).toMatchObject({
      ...{ filename: 'vmlinuz', path: '/t/boot/vmlinuz-6.1', release: '6.1' },
    });
  });
});

describe('an initrd', () => {
  test.each([
    [['initrd', 'boot/initrd.img'], 'initrd'],
    [['boot/initrd', 'initrd.img'], 'boot/initrd'],
    [['initrd.img', 'boot/initrd.img-6.1.0'], 'initrd.img'],
    [
      ['boot/initrd.img-6.1.0-9', 'boot/initrd.img-6.1.0-18', 'boot/initrd.img-6.2.dpkg-bak'],
      'boot/initrd.img-6.1.0-18',
    ],
    [['boot/initramfs-6.9.5.x86_64.img', 'boot/initramfs-6.9.5.x86_64kdump.img'], 'boot/initramfs-6.9.5.x86_64.img'],
    [['usr/lib/modules/6.9.5/initramfs.img'], 'usr/lib/modules/6.9.5/initramfs.img'],
    [['initramfs.cpio.gz'], 'initramfs.cpio.gz'],
    [['boot/kernels/0a1b-initrd-linux-6.6.8-initrd'], 'boot/kernels/0a1b-initrd-linux-6.6.8-initrd'],
  ])('in %j it is %s', async (names, found) => expect(await initrdOf(initrds(...names))).toBe(found));

  test('is of the release of the kernel', async () => {
    const tree = {
      ...kernels('boot/vmlinuz-6.1.0', 'boot/vmlinuz-6.2.0'),
      ...initrds('boot/initrd.img-6.2.0', 'boot/initrd.img-6.1.0'),
    };
    expect(await initrdOf(tree, { kernel: { filename: 'boot/vmlinuz-6.1.0' }, initrd: {} })).toBe(
      'boot/initrd.img-6.1.0',
    );
    expect(await initrdOf(tree, { initrd: { releases: ['6.1.0'] } })).toBe('boot/initrd.img-6.1.0');
    expect(await initrdOf(tree, { initrd: { releases: ['5.10'] } })).toBe('boot/initrd.img-6.2.0');
  });

  test('is of the release in the bytes, where the name of the kernel says none', async () => {
    const tree = {
      vmlinuz: bzImage({ release: '6.1.0' }),
      ...initrds('boot/initrd.img-6.2.0', 'boot/initrd.img-6.1.0'),
    };
    expect(await initrdOf(tree, { kernel: {}, initrd: {} })).toBe('boot/initrd.img-6.1.0');
  });

  test('of an image-mode system with an empty boot directory is found with its kernel', async () => {
    const tree = {
      boot: { kind: 'directory' } as const,
      ...kernels('usr/lib/modules/6.9.5/vmlinuz'),
      ...initrds('usr/lib/modules/6.9.5/initramfs.img'),
    };
    const found = await find(tree, { kernel: {}, initrd: {} });
    expect(found.kernel?.filename).toBe('usr/lib/modules/6.9.5/vmlinuz');
    expect(found.initrd?.filename).toBe('usr/lib/modules/6.9.5/initramfs.img');
  });
});

test('a name begins at the root of the image, with a slash or without; empty is none', async () => {
  const tree = { 'boot/mine': bzImage(), vmlinux: pvhElf() };
  expect(await kernelOf(tree, 'boot/mine')).toBe('boot/mine');
  expect(await kernelOf(tree, '/boot/mine')).toBe('boot/mine');
  expect(await kernelOf(tree, './boot/../boot/mine')).toBe('boot/../boot/mine');
  expect(await kernelOf(tree, '')).toBe('vmlinux');
});

describe('what cannot be taken is told with what would do and what there is', () => {
  const refused = (message: RegExp | string, reason = 'KernelNotFound') => ({
    ...{ kind: 'not_found', reason, terminal: true },
    message: typeof message === 'string' ? message : expect.stringMatching(message),
  });

  test.each<[what: string, tree: Tree, filename: string, message: RegExp | string]>([
    [
      'a file that is not there',
      { 'boot/vmlinuz-6.1': bzImage(), 'etc/x': 'x' },
      'vmlinux',
      'Cannot take "vmlinux" as kernel: there is no such file in the image; the image has boot/vmlinuz-6.1; name the file in "filename"',
    ],
    [
      'a file for another CPU',
      { vmlinux: elf({ machine: 183 }), 'boot/vmlinuz-6.1': bzImage() },
      'vmlinux',
      'Cannot take "vmlinux" as kernel: it is an ELF file for arm64, and this host is x86-64; what boots here is a vmlinux (a 64-bit ELF file) or a bzImage, for x86-64; the image has boot/vmlinuz-6.1; name the file in "filename"',
    ],
    [
      'a packed file',
      { 'vmlinux.gz': gzipSync(bareElf()) },
      'vmlinux.gz',
      /kernel packed with gzip; unpack it with gunzip;/,
    ],
    ['a directory', { 'boot/x': bzImage() }, 'boot', /it is no regular file \(directory\); the image has/],
    [
      'a link to nothing',
      { vmlinux: { link: '/nowhere' } },
      'vmlinux',
      /it is a link to "\/nowhere", and that is not in the image/,
    ],
    [
      'an ELF file that is no Linux',
      { vmlinux: bareElf('something') },
      'vmlinux',
      /without a PVH entry point, and no Linux kernel/,
    ],
    ['an initrd', { initrd: newc() }, 'initrd', /it is an initrd, no kernel/],
  ])('%s', async (_, tree, filename, message) => {
    await expect(kernelOf(tree, filename)).rejects.toMatchObject(refused(message));
  });

  test('none at all', async () => {
    await expect(kernelOf({ 'etc/x': 'x', README: 'x' })).rejects.toMatchObject(
      refused(/none of vmlinux, boot\/vmlinux, .*usr\/lib\/modules\/\*\/vmlinuz; the image has README, etc; name/),
    );
    await expect(kernelOf({})).rejects.toThrow('Cannot find the kernel in the image');
    await expect(initrdOf({ 'boot/vmlinuz-6.1': bzImage() })).rejects.toMatchObject(
      refused(/Cannot find the initrd in the image: it has none of initrd, /, 'InitrdNotFound'),
    );
  });

  test('none that boots: each with what is wrong with it', async () => {
    const tree = { 'boot/vmlinuz-6.1': marked('ARM\x64', 0x38), 'usr/lib/modules/6.1/vmlinuz': '' };
    await expect(kernelOf(tree)).rejects.toMatchObject(
      refused(
        /: boot\/vmlinuz-6.1 is a Linux kernel for arm64, .*, usr\/lib\/modules\/6.1\/vmlinuz is empty; what boots/,
      ),
    );
    await expect(initrdOf({ 'boot/initrd.img-6.1': 'text' })).rejects.toMatchObject(
      refused(/boot\/initrd.img-6.1 is text; what serves is a cpio archive/, 'InitrdNotFound'),
    );
  });

  test.each(['boot/EFI/Linux/6.9.1.efi', 'efi/EFI/Linux/arch-linux.efi', 'usr/lib/modules/6.9.1/vmlinuz-virt.efi'])(
    'one for EFI firmware alone: %s',
    async (name) => {
      const tree = { [name]: efi(['.osrel', '.linux', '.initrd']), 'usr/bin/x': 'x', 'etc/y': 'y' };
      await expect(kernelOf(tree)).rejects.toThrow(`${name} is a unified kernel image`);
    },
  );

  test('an initrd that is named', async () => {
    const tree = { 'boot/vmlinuz-6.1': bzImage(), 'boot/initrd.img-6.1': newc() };
    await expect(initrdOf(tree, { initrd: { filename: 'boot/vmlinuz-6.1' } })).rejects.toMatchObject(
      refused(/as initrd: it is a kernel, no initrd; .*the image has boot\/initrd.img-6.1;/, 'InitrdNotFound'),
    );
  });

  test.each(['../x', 'a/../../x', '/..', '../../../etc/shadow'])('%s leaves the image and is invalid', async (name) => {
    await expect(kernelOf({ x: bzImage() }, name)).rejects.toMatchObject({ kind: 'invalid', reason: 'KernelNotFound' });
  });
});

test('what a kernel can do is told', async () => {
  const facts = async (entry: Uint8Array) => (await find({ vmlinuz: entry }, { kernel: {} })).kernel?.facts;
  const words = 'Linux version 6.1.9-fc (me) #1 RSD PTR virtio-mmio-cmdline Alternate GPT is invalid';
  const parts = ['acpi', 'virtio-mmio', 'virtio-mmio on the command line'];
  expect(await facts(bareElf(words))).toEqual({ form: 'vmlinux', release: '6.1.9-fc', parts, readsGpt: true });
  expect(await facts(bzImage({ release: '6.1.9-fc', payload: gzipSync(bareElf(words)) }))).toEqual({
    form: 'bzImage',
    release: '6.1.9-fc',
    parts,
    readsGpt: true,
  });
  expect(await facts(bareElf())).toEqual({ form: 'vmlinux', release: '6.1.0-fc', parts: [], readsGpt: false });
  // What cannot be unpacked is no fault of the kernel's.
  expect(await facts(bzImage({ payload: Buffer.from('noise and more') }))).toEqual({
    form: 'bzImage',
    release: '6.1.0',
    unseen: 'it is packed in a way that is not known',
  });
  expect(await facts(bzImage({ payload: gzipSync(bareElf()).subarray(0, 60) }))).toMatchObject({
    unseen: expect.stringMatching(/could not be unpacked/),
  });
  expect(await facts(pvhElf('a unikernel'))).toEqual({ form: 'vmlinux', unseen: 'it is no Linux' });
});
