import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { findBootFile, newestFirst } from './boot-files.ts';

const tree = (names: readonly string[]) => fakeFiles(Object.fromEntries(names.map((name) => [`/t/${name}`, 'x'])));
const kernel = async (names: readonly string[], filename?: string) =>
  (await findBootFile(tree(names), '/t', 'kernel', filename)).filename;

test.each([
  [['vmlinux', 'boot/vmlinux', 'vmlinuz'], 'vmlinux'],
  [['boot/vmlinux', 'vmlinuz'], 'boot/vmlinux'],
  [['boot/bzImage', 'boot/vmlinuz', 'boot/vmlinuz-6.1.0'], 'boot/vmlinuz'],
  [['bzImage'], 'bzImage'],
  [['boot/vmlinuz-6.1.0-9-cloud', 'boot/vmlinuz-6.1.0-18-cloud', 'boot/vmlinuz-5.10.0'], 'boot/vmlinuz-6.1.0-18-cloud'],
  [['boot/vmlinuz-6.1.0', 'boot/vmlinux-6.1.0'], 'boot/vmlinux-6.1.0'],
  [['boot/vmlinuz-6.2.0', 'boot/vmlinux-6.1.0'], 'boot/vmlinuz-6.2.0'],
  [['boot/vmlinuz-0-rescue-abc', 'boot/vmlinuz-6.9.5.x86_64'], 'boot/vmlinuz-6.9.5.x86_64'],
  [['boot/vmlinuz-6.1.0', 'boot/vmlinuz-6.2.0.old', 'boot/vmlinuz-6.3.0.sig'], 'boot/vmlinuz-6.1.0'],
])('of %j the kernel is %s', async (names, found) => expect(await kernel(names)).toBe(found));

test.each([
  [['initrd', 'boot/initrd.img'], 'initrd'],
  [['boot/initrd', 'initrd.img'], 'boot/initrd'],
  [['initrd.img', 'boot/initrd.img-6.1.0'], 'initrd.img'],
  [['boot/initrd.img-6.1.0-9', 'boot/initrd.img-6.1.0-18', 'boot/initrd.img-6.2.dpkg-bak'], 'boot/initrd.img-6.1.0-18'],
  [['boot/initramfs-6.9.5.x86_64.img'], 'boot/initramfs-6.9.5.x86_64.img'],
])('of %j the initrd is %s', async (names, found) =>
  expect((await findBootFile(tree(names), '/t', 'initrd')).filename).toBe(found),
);

test('a name begins at the root of the image, with a slash or without; empty is none', async () => {
  const names = ['boot/mine', 'vmlinux'];
  expect(await kernel(names, 'boot/mine')).toBe('boot/mine');
  expect(await kernel(names, '/boot/mine')).toBe('boot/mine');
  expect(await kernel(names, './boot/../boot/mine')).toBe('boot/../boot/mine');
  expect(await kernel(names, '')).toBe('vmlinux');
});

test('a well-known name that is a symlink out of the image, or a directory, is passed over', async () => {
  const files = fakeFiles({
    '/t/vmlinux': { link: '/etc/shadow' },
    '/t/boot/vmlinux/x': 'x',
    '/t/vmlinuz': { link: 'boot/vmlinuz-6.1' },
    '/t/boot/vmlinuz-6.1': 'x',
    '/etc/shadow': 'secret',
  });
  expect(await findBootFile(files, '/t', 'kernel')).toEqual({ filename: 'vmlinuz', path: '/t/boot/vmlinuz-6.1' });
});

test('what is missing is told with what there is', async () => {
  await expect(kernel(['boot/vmlinuz-6.1', 'etc/x'], 'vmlinux')).rejects.toMatchObject({
    kind: 'not_found',
    reason: 'KernelNotFound',
    terminal: true,
    message:
      'Cannot take "vmlinux" as kernel: there is no such file in the image; the image has boot/vmlinuz-6.1; name the file in "filename"',
  });
  await expect(kernel(['etc/x', 'README'])).rejects.toThrow(/none of vmlinux, .*; the image has README, etc; name/);
  await expect(kernel([])).rejects.toThrow('Cannot find the kernel in the image');
});

test.each(['../x', 'a/../../x', '/..', '../../../etc/shadow'])('%s leaves the image and is invalid', async (name) => {
  await expect(kernel(['x', 'a/y'], name)).rejects.toMatchObject({ kind: 'invalid', reason: 'KernelNotFound' });
});

test('versions sort as numbers', () => {
  const names = ['vmlinuz-6.1.0-9', 'vmlinuz-6.10.0-1', 'vmlinuz-6.2', 'config-7', 'vmlinuz-6.1.0-18'];
  expect(newestFirst(names, /^vmlinu[xz]-(.+)$/)).toEqual([
    'vmlinuz-6.10.0-1',
    'vmlinuz-6.2',
    'vmlinuz-6.1.0-18',
    'vmlinuz-6.1.0-9',
  ]);
});
